// Claim 3, tenant routing. Requests of acme and globex go to /orders from the shopper, and through the storefront: each
// is answered by an instance of its tenant. Then globex's only instance is killed (kill -9): its requests must fail and
// none may reach acme, which the instances' own counts say. A tenant that nobody serves fails as well. The header is
// believed from the shopper, whose port the configuration trusts; the stranger's is refused with 403, to a tenant's
// service and to any other, while the stranger without the header is served, and no instance gets to see a forged one.
import { randomUUID } from "node:crypto";
import { fieldOf, tally, type Outcome } from "../../shop/load.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { until } from "../wait.ts";

const ACME = ["orders-acme-1", "orders-acme-2"] as const;
const GLOBEX = "orders-globex-1";
const REQUESTS = 200;

export const tenants = {
  number: 3,
  title: "tenant routing",
  prove: async (shop: ShopView): Promise<string> => {
    await shop.resetStats(...ACME, GLOBEX);
    for (const via of ["orders", "storefront"] as const) {
      for (const tenant of ["acme", "globex"] as const) {
        expectServed(await ask(shop, via, tenant, REQUESTS), tenant, via);
      }
    }
    const acmeSpread = await Promise.all(ACME.map(async (name) => (await shop.stats(name)).received));
    claim(
      acmeSpread.every((received) => received > 0),
      `an instance of acme got nothing: ${acmeSpread.join(" and ")}`,
    );

    await shop.resetStats(...ACME);
    await shop.killApplication(GLOBEX);
    let lost: readonly Outcome[];
    let foreign: number;
    try {
      lost = await ask(shop, "orders", "globex", REQUESTS);
      foreign = await receivedBy(shop, ACME);
      expectServed(await ask(shop, "orders", "acme", REQUESTS), "acme", "orders");
    } finally {
      await shop.startApplication(GLOBEX);
    }
    claim(foreign === 0, `${foreign} requests of globex fell over to acme when globex was dead`);
    claim(
      lost.every(({ status }) => status === 503),
      `globex was dead, yet its requests were answered ${describe(lost)}`,
    );
    await until(
      "globex to be served again",
      async () => (await ask(shop, "orders", "globex", 1))[0]?.status === 200 || undefined,
    );

    await shop.resetStats(...ACME, GLOBEX, "reviews-v1-1", "reviews-v2-1");
    const nobody = await ask(shop, "orders", "initech", 20);
    claim(
      nobody.every(({ status }) => status === 503),
      `a tenant without instances was answered ${describe(nobody)}`,
    );
    const without = await shop.load.many(20, 4, () => ({ url: shop.url("shopper-1", "orders", "/orders") }));
    claim(
      without.every(({ status }) => status === 403),
      `no tenant at all was answered ${describe(without)}`,
    );
    const forged = await forge(shop, "orders", "/orders", "acme");
    const forgedElsewhere = await forge(shop, "reviews", "/reviews/mug", "acme");
    const refused = [...forged, ...forgedElsewhere];
    claim(
      refused.every(({ status }) => status === 403),
      `a forged tenant was answered ${describe(refused)}`,
    );
    const reached = await receivedBy(shop, [...ACME, GLOBEX, "reviews-v1-1", "reviews-v2-1"]);
    claim(reached === 0, `${reached} refused requests reached an instance`);
    const honest = await shop.load.call({ url: shop.url("stranger-1", "reviews", "/reviews/mug") });
    claim(honest.status === 200, `the stranger without a tenant header was answered ${honest.status}`);
    return (
      `${4 * REQUESTS}/${4 * REQUESTS} to their own tenant (acme ${acmeSpread.join("+")}), ` +
      `${lost.length} of a dead tenant failed with 503 and 0 fell over, ${refused.length}/${refused.length} forged refused with 403`
    );
  },
} satisfies Claim;

function ask(shop: ShopView, via: "orders" | "storefront", tenant: string, count: number): Promise<readonly Outcome[]> {
  const url = shop.url("shopper-1", via, "/orders");
  return shop.load.many(count, 8, () => ({ url, headers: { "x-tenant": tenant, "x-request-id": randomUUID() } }));
}

function forge(shop: ShopView, service: string, path: string, tenant: string): Promise<readonly Outcome[]> {
  const url = shop.url("stranger-1", service, path);
  return shop.load.many(20, 4, () => ({ url, headers: { "x-tenant": tenant } }));
}

function expectServed(outcomes: readonly Outcome[], tenant: string, via: string): void {
  const counts = tally(outcomes, (outcome) => `${outcome.status} ${fieldOf(outcome, "tenant")}`);
  claim(
    counts[`200 ${tenant}`] === outcomes.length,
    `not all requests of ${tenant} through ${via} were its own: ${JSON.stringify(counts)}`,
  );
}

async function receivedBy(shop: ShopView, names: readonly string[]): Promise<number> {
  let received = 0;
  for (const name of names) received += (await shop.stats(name)).received;
  return received;
}

function describe(outcomes: readonly Outcome[]): string {
  return JSON.stringify(tally(outcomes, ({ status }) => status));
}
