// Claim 10, a killed instance. Reads (GET, repeated by policy) and charges (POST without a key) run without pause; the
// services take 30 ms, so that some are always in flight. One of payments' three instances is killed, application and
// sidecar, with kill -9.
//  - Only charges that were in flight at that moment may fail, and `heddle explain` has a sentence for each.
//  - The configured time is two health checks, a second apart. Before twice that time (time in which this machine did not
//    run the demo itself is not counted) the shopper's sidecar must have it out of traffic, by its admin port.
//  - The instance is started again, with the identity that it kept: it must get requests, and nothing fails meanwhile.
import { randomUUID } from "node:crypto";
import { tally, type Background, type Call, type Outcome } from "../../shop/load.ts";
import { claim, type Claim } from "../claim.ts";
import { readClusters } from "../observe/clusters.ts";
import type { Shop } from "../shop.ts";
import { StallClock, until } from "../wait.ts";

const VICTIM = "payments-3";
const PAYMENTS = ["payments-1", "payments-2", VICTIM] as const;
/** As examples/shop/mesh/payments.yaml says: 2 checks, 1 s apart. */
const CONFIGURED_MS = 2_000;
/** Requests between two looks. */
const SOME = 200;

export const killedInstance = {
  number: 10,
  title: "killed instance",
  prove: async (shop: Shop): Promise<string> => {
    for (const name of PAYMENTS) await shop.setFault(name, { delayMs: 30 });
    const reads = shop.load.keepCalling(6, () => ({ url: shop.url("shopper-1", "payments", "/rates") }));
    const charges = shop.load.keepCalling(4, () => charge(shop));
    try {
      await more(charges, SOME);
      await until("the instance to be in traffic", async () => (await isInTraffic(shop)) || undefined);
      const stalls = new StallClock();
      const begin = performance.now();
      await shop.killInstance(VICTIM);
      const gone = performance.now();
      const leftMs = await leavesTraffic(shop, begin, stalls);
      await more(charges, SOME);
      const inFlight = await onlyInFlightFailed(shop, reads, charges, gone);
      await shop.startInstance(VICTIM);
      await shop.setFault(VICTIM, { delayMs: 30 });
      await until(`${VICTIM} to get requests again`, async () =>
        (await shop.stats(VICTIM)).received > 0 ? true : undefined,
      );
      await more(charges, SOME);
      await onlyInFlightFailed(shop, reads, charges, gone);
      const total = (await reads.stop()).length + (await charges.stop()).length;
      return `left traffic after ${(leftMs / 1000).toFixed(1)} s (limit ${(2 * CONFIGURED_MS) / 1000} s), ${inFlight} in-flight charges failed and were explained, 0 other of ${total} requests; it came back`;
    } finally {
      await Promise.all([reads.stop(), charges.stop()]);
      await shop.startInstanceIfDead(VICTIM);
      for (const name of PAYMENTS) await shop.setFault(name, {});
    }
  },
} satisfies Claim;

/** A charge without a key: it must never be executed twice, so it cannot be repeated once it was sent. */
function charge(shop: Shop): Call {
  const headers = { "x-request-id": randomUUID() };
  return { url: shop.url("shopper-1", "payments", "/charges"), method: "POST", headers, body: {} };
}

async function more(traffic: Background, count: number): Promise<void> {
  const goal = traffic.outcomes.length + count;
  await until(`${count} more requests`, () => (traffic.outcomes.length >= goal ? true : undefined));
}

/** Whether the shopper's sidecar may choose the victim. An endpoint is listed by the port of its application, or by that of its sidecar. */
async function isInTraffic(shop: Shop): Promise<boolean> {
  const ports = [shop.sidecarOf(VICTIM).inboundPort, shop.workload(VICTIM).appPort];
  const { body } = await shop.admin("shopper-1", "/clusters");
  return readClusters(body)
    .filter(({ name }) => name.includes("payments"))
    .flatMap((cluster) => cluster.endpoints)
    .some((endpoint) => endpoint.isInTraffic && ports.some((port) => endpoint.address.endsWith(`:${port}`)));
}

async function leavesTraffic(shop: Shop, begin: number, stalls: StallClock): Promise<number> {
  await until("the killed instance to leave traffic", async () => !(await isInTraffic(shop)) || undefined);
  const took = performance.now() - begin;
  stalls.stop();
  claim(
    took - stalls.stalledMs < 2 * CONFIGURED_MS,
    `the killed instance left traffic after ${took.toFixed(0)} ms, the limit is ${2 * CONFIGURED_MS}`,
  );
  return took;
}

/** Checks all failures so far; gives how many charges that were in flight at the kill failed. */
async function onlyInFlightFailed(shop: Shop, reads: Background, charges: Background, gone: number): Promise<number> {
  const failedReads = reads.outcomes.filter(isFailure);
  claim(failedReads.length === 0, `${failedReads.length} reads failed: ${describe(failedReads)}`);
  const failed = charges.outcomes.filter(isFailure);
  const late = failed.filter(({ startMs }) => startMs > gone);
  claim(late.length === 0, `${late.length} charges failed that began after the instance was dead: ${describe(late)}`);
  claim(failed.length <= 4, `${failed.length} charges failed, 4 were in flight`);
  for (const outcome of failed) {
    const id = outcome.headers["x-request-id"] ?? "";
    claim(id !== "", `a failed charge has no request id: ${describe([outcome])}`);
    const { code, stdout } = await shop.heddle.explain(id);
    claim(code === 0 && stdout.trim() !== "", `heddle explain has nothing to say about the failed charge ${id}`);
  }
  return failed.length;
}

function isFailure({ status }: Outcome): boolean {
  return status === 0 || status >= 400;
}

function describe(outcomes: readonly Outcome[]): string {
  return JSON.stringify(tally(outcomes, ({ status, error }) => `${status} ${error}`.trim()));
}
