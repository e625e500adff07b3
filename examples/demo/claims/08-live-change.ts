// Claim 8, live change. While traffic runs to /ratings and an opaque connection stays open, the canary's weight is edited
// in the YAML 20 times, between everything to v1 and everything to v2. After each edit we wait for the receipts of all
// proxies; the next 20 requests must all be answered by the version that the edit chose. Not one request may fail.
//  - Each edit has its receipts before 5 s; time in which this machine did not run the demo itself is not counted.
//  - State: a breaker opened before stays open through all edits (its sleep window is ten minutes), the opaque connection
//    and the pooled connections are still the same ones (local ports, from the kernel), and a bucket that is kept empty
//    lets through no more than its arithmetic allows over the whole time.
//  - A broken edit is refused with file:line:column, and traffic goes on; so is the same by `heddle analyze`.
//  - The control plane is killed with kill -9 and started again, and an edit after that takes effect; no request fails.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InventoryConnection } from "../../shop/inventory/client.ts";
import { fieldOf, tally, type Background } from "../../shop/load.ts";
import { bucketBounds } from "../bucket.ts";
import { claim, type Claim } from "../claim.ts";
import { connectionsOf } from "../observe/connections.ts";
import type { Shop } from "../shop.ts";
import { median } from "../statistics.ts";
import { StallClock, until } from "../wait.ts";

const EDITS = 20;
const LIMIT_MS = 5_000;
/** As examples/shop/mesh/notifications.yaml says. */
const PER_SECOND = 100;
const BURST = 20;

export const liveChange = {
  number: 8,
  title: "live change",
  prove: async (shop: Shop): Promise<string> => {
    const file = join(shop.meshFolder, "reviews.yaml");
    const original = await readFile(file, "utf8");
    await openBreaker(shop);
    const poolBefore = await pooledPorts(shop);
    const inventory = await InventoryConnection.open(`127.0.0.1:${shop.outboundPort("shopper-1", "inventory")}`);
    const traffic = shop.load.keepCalling(8, () => ({ url: shop.url("shopper-1", "reviews", "/ratings/mug") }));
    const publish = { url: shop.url("shopper-1", "notifications", "/publish"), method: "POST", body: {} } as const;
    const bucket = shop.load.keepCalling(4, () => publish);
    try {
      const times = await editWeights(shop, file, original);
      await stateIsKept(shop, poolBefore, bucket);
      const refusal = await refusesBrokenEdit(shop, file, original);
      await survivesControlPlane(shop, file, original);
      claim((await inventory.ask("STOCK mug")).code === 250, "the opaque connection did not live through the changes");
      const outcomes = await traffic.stop();
      const failed = outcomes.filter(({ status }) => status !== 200);
      claim(
        failed.length === 0,
        `${failed.length} of ${outcomes.length} requests failed: ${JSON.stringify(tally(failed, ({ status, error }) => `${status} ${error}`))}`,
      );
      return `${EDITS} edits applied on all proxies, median ${median(times).toFixed(0)} ms, slowest ${Math.max(...times).toFixed(0)} ms; broken edit refused at ${refusal}; control plane killed and back; 0 of ${outcomes.length} requests failed`;
    } finally {
      await Promise.all([traffic.stop(), bucket.stop()]);
      inventory.destroy();
      await writeFile(file, original);
      await shop.untilGoverned();
    }
  },
} satisfies Claim;

/** The file with the canary's two weights replaced. */
function withWeights(original: string, v1: number, v2: number): string {
  const edited = original.replace(/weight: 10\b/u, `weight: ${v2}`).replace(/weight: 90\b/u, `weight: ${v1}`);
  if (edited === original) throw new Error("reviews.yaml has no weights 90 and 10");
  return edited;
}

/** Edits, waits for the receipts of all proxies, and checks that traffic obeys. Gives the time to the receipts, in ms. */
async function edit(shop: Shop, file: string, text: string, version: "v1" | "v2"): Promise<number> {
  const before = (await shop.plane.config()).version;
  const stalls = new StallClock();
  const begin = performance.now();
  await writeFile(file, text);
  await until("the edit to be read", async () => ((await shop.plane.config()).version !== before ? true : undefined));
  await shop.untilGoverned();
  const took = performance.now() - begin;
  stalls.stop();
  claim(took - stalls.stalledMs < LIMIT_MS, `an edit took ${took.toFixed(0)} ms to be applied on all proxies`);
  const url = shop.url("shopper-1", "reviews", "/ratings/mug");
  const versions = tally(
    await shop.load.many(20, 4, () => ({ url })),
    (outcome) => `${outcome.status} ${fieldOf(outcome, "version")}`,
  );
  claim(
    versions[`200 ${version}`] === 20,
    `all weight is on ${version} and applied, but traffic went ${JSON.stringify(versions)}`,
  );
  return took;
}

async function editWeights(shop: Shop, file: string, original: string): Promise<readonly number[]> {
  const times: number[] = [];
  for (let index = 0; index < EDITS; index += 1) {
    const isEven = index % 2 === 0;
    times.push(await edit(shop, file, withWeights(original, isEven ? 0 : 100, isEven ? 100 : 0), isEven ? "v2" : "v1"));
  }
  return times;
}

/** Fills the window of the breaker of suggestions, which nobody answers, until the sidecar refuses by itself. */
async function openBreaker(shop: Shop): Promise<void> {
  const url = shop.url("shopper-1", "suggestions", "/");
  await until("the breaker of suggestions to open", async () => {
    const [outcome] = await shop.load.many(1, 1, () => ({ url }));
    return isRefusedByBreaker(fieldOf(outcome ?? noOutcome, "code")) || undefined;
  });
}

const noOutcome = { status: 0, headers: {}, body: undefined, error: "", startMs: 0, tookMs: 0 };

function isRefusedByBreaker(code: string): boolean {
  return code.includes("breaker") || code.includes("circuit");
}

async function stateIsKept(shop: Shop, poolBefore: readonly string[] | undefined, bucket: Background): Promise<void> {
  const url = shop.url("shopper-1", "suggestions", "/");
  const still = await shop.load.many(20, 4, () => ({ url }));
  const codes = tally(still, (outcome) => `${outcome.status} ${fieldOf(outcome, "code")}`);
  claim(
    still.every((outcome) => isRefusedByBreaker(fieldOf(outcome, "code"))),
    `the breaker did not stay open through the edits: ${JSON.stringify(codes)}`,
  );
  const { allowed, most } = bucketBounds(await bucket.stop(), PER_SECOND, BURST);
  claim(
    allowed <= most,
    `the bucket let ${allowed} through while the configuration changed, its arithmetic allows ${most}`,
  );
  const poolAfter = await pooledPorts(shop);
  if (poolBefore === undefined || poolAfter === undefined) return;
  const lost = poolBefore.filter((port) => !poolAfter.includes(port));
  claim(
    lost.length === 0,
    `${lost.length} of ${poolBefore.length} pooled connections were not the same after the edits`,
  );
}

/** Local and remote port of each connection between the shopper's sidecar and the sidecars of others. */
async function pooledPorts(shop: Shop): Promise<readonly string[] | undefined> {
  const inbound = new Set(shop.workloads.map(({ sidecar }) => sidecar?.inboundPort));
  const connections = await connectionsOf(shop.sidecarPid("shopper-1"));
  return connections
    ?.filter(({ remotePort }) => inbound.has(remotePort))
    .map(({ localPort, remotePort }) => `${localPort}-${remotePort}`);
}

async function refusesBrokenEdit(shop: Shop, file: string, original: string): Promise<string> {
  const { version } = await shop.plane.config();
  await writeFile(file, withWeights(original, 100, 0).replace("weight: 100", "wieght: 100"));
  const place = /reviews\.yaml:(\d+):(\d+)/u;
  const errors = await until("the broken edit to be refused", async () => {
    const found = (await shop.plane.config()).errors.join("\n");
    return place.test(found) ? found : undefined;
  });
  const lines = (await readFile(file, "utf8")).split("\n");
  const [where, line, column] = place.exec(errors) ?? [];
  const text = lines[Number(line) - 1] ?? "";
  claim(
    text.includes("wieght") && Number(column) >= 1 && Number(column) <= text.length + 1,
    `the refusal names ${where}, where there is "${text.trim()}"`,
  );
  const offline = await shop.heddle.analyze();
  claim(
    offline.code !== 0 && place.test(offline.stdout + offline.stderr),
    `heddle analyze ended with ${offline.code} and does not name the place: ${offline.stdout}${offline.stderr}`,
  );
  const after = await shop.plane.config();
  claim(after.version === version, `a refused edit changed the version in force from ${version} to ${after.version}`);
  const url = shop.url("shopper-1", "reviews", "/ratings/mug");
  const served = tally(
    await shop.load.many(20, 4, () => ({ url })),
    (outcome) => `${outcome.status} ${fieldOf(outcome, "version")}`,
  );
  claim(
    served["200 v1"] === 20,
    `under the last good configuration everything goes to v1, traffic went ${JSON.stringify(served)}`,
  );
  return where ?? "";
}

async function survivesControlPlane(shop: Shop, file: string, original: string): Promise<void> {
  await writeFile(file, withWeights(original, 100, 0));
  await until("the broken edit to be healed", async () =>
    (await shop.plane.config()).errors.length === 0 ? true : undefined,
  );
  await shop.killControlPlane();
  const url = shop.url("shopper-1", "reviews", "/reviews/mug");
  const meanwhile = tally(await shop.load.many(200, 8, () => ({ url })), ({ status }) => status);
  claim(meanwhile["200"] === 200, `without a control plane requests were answered ${JSON.stringify(meanwhile)}`);
  await shop.startControlPlane();
  await shop.untilGoverned();
  await edit(shop, file, withWeights(original, 0, 100), "v2");
}
