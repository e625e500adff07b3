// Claim 2, version routing. 200 requests with `version: v2` and 200 without go to /reviews, from the shopper directly and
// through the storefront (which passes the header on): each must be answered by its version, no chance involved. Then 4000
// go to /ratings, split 90/10 by weight: how many v2 answered must lie in the range that a fair draw explains (exact
// binomial, false alarm under 1e-8; about six sigma).
import { fieldOf, tally, type Call, type Outcome } from "../../shop/load.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { binomialRange } from "../statistics.ts";

const BY_HEADER = 200;
const CANARY = 4000;
const CANARY_SHARE = 0.1;

export const versions = {
  number: 2,
  title: "version routing",
  prove: async (shop: ShopView): Promise<string> => {
    for (const path of ["shopper", "storefront"] as const) {
      const url =
        path === "shopper"
          ? shop.url("shopper-1", "reviews", "/reviews/mug")
          : shop.url("shopper-1", "storefront", "/reviews/mug");
      const withHeader = await callMany(shop, BY_HEADER, { url, headers: { version: "v2" } });
      const without = await callMany(shop, BY_HEADER, { url });
      expectAll(withHeader, "v2", `with "version: v2" through the ${path}`);
      expectAll(without, "v1", `without a header through the ${path}`);
    }
    const ratings = await callMany(shop, CANARY, { url: shop.url("shopper-1", "reviews", "/ratings/mug") });
    const failed = ratings.filter((outcome) => outcome.status !== 200).length;
    claim(
      failed === 0,
      `${failed} of ${CANARY} canary requests failed: ${JSON.stringify(tally(ratings, ({ status }) => status))}`,
    );
    const toV2 = ratings.filter((outcome) => fieldOf(outcome, "version") === "v2").length;
    const { low, high } = binomialRange(CANARY, CANARY_SHARE);
    claim(toV2 >= low && toV2 <= high, `the canary got ${toV2} of ${CANARY}, chance explains ${low} to ${high}`);
    return `${2 * BY_HEADER}/${2 * BY_HEADER} by header to v2, ${2 * BY_HEADER}/${2 * BY_HEADER} to v1; canary 10 % got ${((toV2 / CANARY) * 100).toFixed(2)} % of ${CANARY} (fair: ${low} to ${high} requests, got ${toV2})`;
  },
} satisfies Claim;

function callMany(shop: ShopView, count: number, call: Call): Promise<readonly Outcome[]> {
  return shop.load.many(count, 16, () => call);
}

function expectAll(outcomes: readonly Outcome[], version: string, what: string): void {
  const counts = tally(outcomes, (outcome) => `${outcome.status} ${fieldOf(outcome, "version")}`);
  claim(
    counts[`200 ${version}`] === outcomes.length,
    `${what}, not all of ${outcomes.length} reached ${version}: ${JSON.stringify(counts)}`,
  );
}
