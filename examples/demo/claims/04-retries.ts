// Claim 4, retries, by what the instances of payments themselves counted and when.
//  - One instance fails every third request: 600 requests (GET, and POST with an Idempotency-Key) must all succeed, one
//    after the other, so that a retry meets the instance's next request and no chance is involved.
//  - Backoff: every attempt fails; the pauses between the attempts of 60 requests must have at least the mean of a uniform
//    draw from [0, 20 ms x (2^n - 1)] (Chernoff bound, 1e-8), so they grow exponentially; and of the pauses before retry 4 the
//    smallest must be below what full jitter can hardly miss (1e-8) and equal jitter never reaches. A busy machine only
//    makes pauses longer: the first bound forgives it wholly, the second leaves 70 ms between the bound and equal jitter.
//  - Budget: 400 requests, 40 at a time, to instances that all fail, each may be retried 3 times: without a budget the
//    instances would see 4 x 400. With 20 % (at least 10) at a time, they may see at most 1.6 x 400.
//  - A POST without an Idempotency-Key that fails after it was executed (503, and a broken connection) is executed once.
import { randomUUID } from "node:crypto";
import type { Fault } from "../../shop/kit/faults.ts";
import type { StatsReport } from "../../shop/kit/stats.ts";
import { tally, type Call } from "../../shop/load.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { leastUniformMean, mean, minimumOfUniform } from "../statistics.ts";

const PAYMENTS = ["payments-1", "payments-2", "payments-3"] as const;
const INVISIBLE = 300;
/** As examples/shop/mesh/payments.yaml says. */
const BASE_MS = 20;
const BACKOFF_RETRIES = 4;
const BACKOFF_REQUESTS = 60;
/** The budget always grants ten retries at the same time; more requests at once would be short of it. */
const BACKOFF_AT_ONCE = 8;
const STORM = 400;
const STORM_LIMIT = 1.6;
/** The share that the budget grants is of what is under way in the sidecar: there the requests have to be, and not in the clients. */
const STORM_DELAY_MS = 100;
const ONCE = 40;

export const retries = {
  number: 4,
  title: "retries",
  prove: async (shop: ShopView): Promise<string> => {
    try {
      return [await isInvisible(shop), await backsOff(shop), await stopsStorm(shop), await executesOnce(shop)].join(
        "; ",
      );
    } finally {
      await setFaults(shop, {});
    }
  },
} satisfies Claim;

async function isInvisible(shop: ShopView): Promise<string> {
  await setFaults(shop, {});
  await shop.setFault("payments-1", { everyNth: 3 });
  await shop.resetStats(...PAYMENTS);
  const gets = await shop.load.many(INVISIBLE, 1, () => ({ url: shop.url("shopper-1", "payments", "/rates") }));
  const posts = await shop.load.many(INVISIBLE, 1, () => charge(shop, { "idempotency-key": randomUUID() }));
  const outcomes = [...gets, ...posts];
  const seen = outcomes.filter(({ status }) => status >= 400 || status === 0);
  claim(
    seen.length === 0,
    `the client saw ${seen.length} failures of ${outcomes.length}: ${JSON.stringify(tally(outcomes, ({ status }) => status))}`,
  );
  const { failed } = await shop.stats("payments-1");
  claim(failed >= INVISIBLE / 9, `payments-1 failed only ${failed} times: nothing was shown`);
  return `${failed} failures of every third request, client saw 0 of ${outcomes.length}`;
}

async function backsOff(shop: ShopView): Promise<string> {
  await setFaults(shop, { everyNth: 1 });
  await shop.resetStats(...PAYMENTS);
  const ids = Array.from({ length: BACKOFF_REQUESTS }, () => randomUUID());
  await shop.load.many(ids.length, BACKOFF_AT_ONCE, (index) => ({
    url: shop.url("shopper-1", "payments", "/charges"),
    headers: { "x-request-id": ids[index] ?? "" },
  }));
  const times = arrivalTimes(await statsOfAll(shop));
  const pauses: number[][] = Array.from({ length: BACKOFF_RETRIES }, () => []);
  for (const id of ids) {
    const attempts = times.get(id) ?? [];
    claim(
      attempts.length === BACKOFF_RETRIES + 1,
      `a request had ${attempts.length} attempts, not ${BACKOFF_RETRIES + 1}`,
    );
    for (const [retry, list] of pauses.entries()) list.push((attempts[retry + 1] ?? 0) - (attempts[retry] ?? 0));
  }
  const means: string[] = [];
  for (const [index, list] of pauses.entries()) {
    const top = BASE_MS * (2 ** (index + 1) - 1);
    const least = leastUniformMean(list.length, top);
    claim(
      mean(list) >= least,
      `retry ${index + 1} came after ${mean(list).toFixed(1)} ms on average, at least ${least.toFixed(1)} are due`,
    );
    means.push(mean(list).toFixed(0));
  }
  const last = pauses[BACKOFF_RETRIES - 1] ?? [];
  const reach = minimumOfUniform(last.length, BASE_MS * (2 ** BACKOFF_RETRIES - 1));
  claim(
    Math.min(...last) < reach,
    `the shortest pause before retry ${BACKOFF_RETRIES} was ${Math.min(...last).toFixed(1)} ms: full jitter goes below ${reach.toFixed(1)}`,
  );
  return `mean pauses ${means.join(", ")} ms (full jitter of ${BASE_MS} ms x (2^n - 1): 10, 30, 70, 150), shortest 4th ${Math.min(...last).toFixed(1)} ms`;
}

async function stopsStorm(shop: ShopView): Promise<string> {
  await setFaults(shop, { everyNth: 1, delayMs: STORM_DELAY_MS });
  await shop.resetStats(...PAYMENTS);
  const outcomes = await shop.load.many(STORM, 40, () => ({ url: shop.url("shopper-1", "payments", "/rates") }));
  const reports = await statsOfAll(shop);
  const arrived = reports.reduce((sum, report) => sum + report.received, 0);
  claim(
    outcomes.every(({ status }) => status >= 500),
    `a request to instances that all fail was answered ${JSON.stringify(tally(outcomes, ({ status }) => status))}`,
  );
  claim(arrived > STORM, "no request was retried at all: the budget was not what stopped it");
  claim(
    arrived <= STORM * STORM_LIMIT,
    `${STORM} failing requests became ${arrived} attempts; the budget allows ${STORM * STORM_LIMIT}`,
  );
  return `storm of ${STORM} became ${arrived} attempts (${4 * STORM} without budget)`;
}

async function executesOnce(shop: ShopView): Promise<string> {
  let executed = 0;
  for (const status of [503, 0]) {
    await setFaults(shop, { everyNth: 1, status, when: "after" });
    await shop.resetStats(...PAYMENTS);
    const ids = Array.from({ length: ONCE }, () => randomUUID());
    const outcomes = await shop.load.many(ids.length, 4, (index) => charge(shop, { "x-request-id": ids[index] ?? "" }));
    claim(
      outcomes.every((outcome) => outcome.status >= 500),
      `a failed charge was answered ${JSON.stringify(tally(outcomes, (outcome) => outcome.status))}`,
    );
    const arrived = (await statsOfAll(shop)).reduce((sum, report) => sum + report.received, 0);
    claim(
      arrived === ONCE,
      `${ONCE} charges without a key, failing with ${status === 0 ? "a broken connection" : status}, were executed ${arrived} times`,
    );
    executed += arrived;
  }
  await setFaults(shop, { everyNth: 1, when: "after" });
  await shop.resetStats(...PAYMENTS);
  const keyed = await shop.load.many(4, 1, () => charge(shop, { "idempotency-key": randomUUID() }));
  const arrived = (await statsOfAll(shop)).reduce((sum, report) => sum + report.received, 0);
  claim(arrived > keyed.length, "charges with an Idempotency-Key were not repeated either: nothing was shown");
  return `${executed}/${2 * ONCE} charges without a key executed exactly once, with a key repeated`;
}

function charge(shop: ShopView, headers: Record<string, string>): Call {
  return {
    url: shop.url("shopper-1", "payments", "/charges"),
    method: "POST",
    headers,
    body: { order: "demo" },
  } satisfies Call;
}

async function setFaults(shop: ShopView, fault: Fault): Promise<void> {
  for (const name of PAYMENTS) await shop.setFault(name, fault);
}

function statsOfAll(shop: ShopView): Promise<readonly StatsReport[]> {
  return Promise.all(PAYMENTS.map((name) => shop.stats(name)));
}

/** When the attempts of each request arrived at any of the instances, in order. */
function arrivalTimes(reports: readonly StatsReport[]): ReadonlyMap<string, readonly number[]> {
  const times = new Map<string, number[]>();
  for (const { key, atMs } of reports.flatMap((report) => report.arrivals)) {
    const list = times.get(key) ?? [];
    list.push(atMs);
    times.set(key, list);
  }
  for (const list of times.values()) list.sort((a, b) => a - b);
  return times;
}
