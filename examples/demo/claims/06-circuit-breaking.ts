// Claim 6, circuit breaking, by what the application received. All calls of its breakers come from the stranger's sidecar,
// which nothing else uses for them, so that their windows begin empty.
//  - Minimum volume: 19 failures in a row all reach shipping (volume 20); at the 20th the breaker opens.
//  - Open: 100 more are answered 503 by the sidecar at once, none reaches shipping. The median time is printed.
//  - Half-open: when the sleep window is over, of 20 requests at the same time to a slow shipping one arrives, as a probe;
//    it fails, so the breaker opens again; after the next window the healed shipping's probe closes it, and 50 pass.
//  - Error share: 60 requests to the storefront with every third failing (33 %) leave its breaker closed; when all fail it
//    opens once half of all have failed, that is after 20 more (21 when the share has to be passed and not only reached).
//  - Ejection: one of acme's two instances of orders answers 500 to everything; requests one after the other fail until it
//    is ejected (5 in a row on it), then 100 succeed on the other one. It comes back when its time is over.
import { fieldOf, tally, type Outcome } from "../../shop/load.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { median } from "../statistics.ts";
import { until } from "../wait.ts";

/** As examples/shop/mesh/shipping.yaml, storefront.yaml and orders.yaml say. */
const VOLUME = 20;
const CONSECUTIVE = 5;
/** A machine so slow that 100 refusals take longer than the sleep window lets one probe through. */
const PROBES = 1;
const SHIPPING = "shipping-1";
const STOREFRONT = "storefront-1";
const GOOD = "orders-acme-1";
const BAD = "orders-acme-2";

export const circuitBreaking = {
  number: 6,
  title: "circuit breaking",
  prove: async (shop: ShopView): Promise<string> => {
    try {
      const opened = await opensAtVolume(shop);
      const halfOpen = await halfOpensAndCloses(shop);
      return [opened, halfOpen, await opensAtShare(shop), await ejectsOne(shop)].join("; ");
    } finally {
      for (const name of [SHIPPING, STOREFRONT, BAD]) await shop.setFault(name, {});
    }
  },
} satisfies Claim;

async function opensAtVolume(shop: ShopView): Promise<string> {
  await shop.setFault(SHIPPING, { everyNth: 1 });
  await shop.resetStats(SHIPPING);
  let reached = 0;
  let sent = 0;
  while (reached === sent) {
    sent += 1;
    claim(sent <= 2 * VOLUME, `the breaker did not open after ${sent - 1} failures`);
    await askShipping(shop, 1, 1);
    reached = (await shop.stats(SHIPPING)).received;
  }
  claim(
    reached === VOLUME || reached === VOLUME + 1,
    `the breaker opened after ${reached} failures, its minimum volume is ${VOLUME}`,
  );
  const refused = await askShipping(shop, 100, 10);
  const leaked = (await shop.stats(SHIPPING)).received - reached;
  claim(leaked <= PROBES, `${leaked} of 100 requests passed the open breaker`);
  claim(
    refused.every(({ status }) => status === 503),
    `an open breaker answered ${describe(refused)}`,
  );
  return `opened after ${reached} failures (volume ${VOLUME}), then 100 refused in ${median(refused.map(({ tookMs }) => tookMs)).toFixed(1)} ms (median), ${leaked} reached the service`;
}

async function halfOpensAndCloses(shop: ShopView): Promise<string> {
  await shop.setFault(SHIPPING, { everyNth: 1, delayMs: 500 });
  await shop.resetStats(SHIPPING);
  // Rounds of 20 at once until the window is over and one of them lets a probe through.
  const probes = await until("the breaker to half-open", async () => {
    await askShipping(shop, 20, 20);
    return (await shop.stats(SHIPPING)).received || undefined;
  });
  claim(probes === 1, `half-open let ${probes} of 20 requests through at the same time, not one probe`);
  const afterFailure = await askShipping(shop, 20, 20);
  const afterReceived = (await shop.stats(SHIPPING)).received;
  claim(
    afterReceived <= 2 && afterFailure.every(({ status }) => status === 503),
    `a failed probe did not open the breaker again: ${describe(afterFailure)}`,
  );
  await shop.setFault(SHIPPING, {});
  await untilClosed(shop, SHIPPING, () => askShipping(shop, 1, 1));
  const healed = await askShipping(shop, 50, 10);
  claim(
    healed.every(({ status }) => status === 200),
    `a closed breaker answered ${describe(healed)}`,
  );
  return "half-open let 1 of 20 through, failed, opened again; closed after the healed probe, 50/50 passed";
}

async function opensAtShare(shop: ShopView): Promise<string> {
  await shop.resetStats(STOREFRONT);
  await shop.setFault(STOREFRONT, { everyNth: 3 });
  await askStorefront(shop, 60);
  const below = (await shop.stats(STOREFRONT)).received;
  claim(below === 60, `the breaker opened at an error share of a third: ${below} of 60 reached the service`);
  await shop.setFault(STOREFRONT, { everyNth: 1 });
  let sent = 0;
  let reached = 0;
  while (reached === sent) {
    sent += 1;
    claim(sent <= 60, `the breaker did not open after ${sent - 1} failures`);
    await askStorefront(shop, 1);
    reached = (await shop.stats(STOREFRONT)).received - below;
  }
  await shop.setFault(STOREFRONT, {});
  await untilClosed(shop, STOREFRONT, () => askStorefront(shop, 1));
  claim(
    reached === 20 || reached === 21,
    `the breaker opened after ${reached} more failures; half of all had failed after 20`,
  );
  return `33 % of 60 stayed closed, opened at ${(((20 + reached) / (60 + reached)) * 100).toFixed(0)} % (${reached} failures more)`;
}

async function ejectsOne(shop: ShopView): Promise<string> {
  await shop.resetStats(GOOD, BAD);
  await shop.setFault(BAD, { everyNth: 1, status: 500 });
  let failures = 0;
  let inARow = 0;
  // Round robin over two: a run of successes longer than the bad one's turn shows that it is out.
  for (let sent = 0; inARow < 2 * CONSECUTIVE; sent += 1) {
    claim(sent < 1_000, `the bad instance was not ejected: ${failures} of ${sent} requests failed`);
    const [outcome] = await askAcme(shop, 1);
    if (outcome?.status === 200) inARow += 1;
    else {
      inARow = 0;
      failures += 1;
    }
  }
  const served = await askAcme(shop, 100);
  const good = served.filter(
    (outcome) => outcome.status === 200 && fieldOf(outcome, "instance") === shop.nameOf(GOOD),
  ).length;
  // Its time may run out in between on a slow machine: then it fails as often again before it is out again.
  claim(
    good >= 100 - CONSECUTIVE,
    `with the bad instance ejected ${good} of 100 were served by the other: ${describe(served)}`,
  );
  await shop.setFault(BAD, {});
  await until("the ejected instance to come back", async () => {
    const [outcome] = await askAcme(shop, 1);
    return (outcome !== undefined && fieldOf(outcome, "instance") === shop.nameOf(BAD)) || undefined;
  });
  return `bad instance ejected after ${failures} failures (${CONSECUTIVE} in a row), ${good}/100 served by the other, then it came back`;
}

function askShipping(shop: ShopView, count: number, concurrency: number): Promise<readonly Outcome[]> {
  return shop.load.many(count, concurrency, () => ({ url: shop.url("stranger-1", "shipping", "/shipments") }));
}

function askStorefront(shop: ShopView, count: number): Promise<readonly Outcome[]> {
  return shop.load.many(count, 1, () => ({ url: shop.url("stranger-1", "storefront", "/reviews/mug") }));
}

function askAcme(shop: ShopView, count: number): Promise<readonly Outcome[]> {
  return shop.load.many(count, 1, () => ({
    url: shop.url("shopper-1", "orders", "/orders"),
    headers: { "x-tenant": "acme" },
  }));
}

async function untilClosed(shop: ShopView, name: string, ask: () => Promise<readonly Outcome[]>): Promise<void> {
  await shop.setFault(name, {});
  await until(`the breaker of ${name} to close`, async () => ((await ask())[0]?.status === 200 ? true : undefined));
}

function describe(outcomes: readonly Outcome[]): string {
  return JSON.stringify(tally(outcomes, ({ status }) => status));
}
