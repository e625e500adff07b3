// Claim 5, the token bucket. Publishing is limited to 100 requests a second with a burst of 20, at the server's sidecar.
// The bucket is left to fill, then 8 callers publish without pause until at least 400 were refused. How many were let
// through must lie between the bounds that the bucket's arithmetic gives for the times at which the calls were made
// (bucket.ts): no clock is assumed, a slow machine only widens the time that is counted with. The application must have
// received exactly those that were let through, and each 429 must say when to come again and what the limit is.
import { setTimeout as delay } from "node:timers/promises";
import { tally } from "../../shop/load.ts";
import { bucketBounds } from "../bucket.ts";
import { claim, type Claim, type ShopView } from "../claim.ts";
import { until } from "../wait.ts";

/** As examples/shop/mesh/notifications.yaml says. */
const PER_SECOND = 100;
const BURST = 20;
const REFUSALS = 400;
const ALLOWED = 200;
/** So many without one refusal: there is no limit. */
const UNLIMITED = 20_000;
/** More than a full refill of the burst. */
const FILL_MS = 1_000;
const NAME = "notifications-1";

export const tokenBucket = {
  number: 5,
  title: "token bucket",
  prove: async (shop: ShopView): Promise<string> => {
    await delay(FILL_MS);
    await shop.resetStats(NAME);
    const url = shop.url("shopper-1", "notifications", "/publish");
    const traffic = shop.load.keepCalling(8, () => ({ url, method: "POST", body: { topic: "demo" } }));
    await until("the bucket to refuse and to refill", () => {
      const { 202: allowed = 0, 429: refused = 0 } = tally(traffic.outcomes, ({ status }) => status);
      claim(
        refused > 0 || allowed < UNLIMITED,
        `${allowed} requests were let through and none refused: nothing limits them`,
      );
      return (allowed >= ALLOWED && refused >= REFUSALS) || undefined;
    }).finally(() => traffic.stop());
    const outcomes = await traffic.stop();
    const others = outcomes.filter(({ status }) => status !== 202 && status !== 429);
    claim(
      others.length === 0,
      `not only 202 and 429: ${JSON.stringify(tally(outcomes, ({ status, error }) => `${status} ${error}`))}`,
    );
    const { allowed, refused, least, most } = bucketBounds(outcomes, PER_SECOND, BURST);
    claim(
      allowed >= least && allowed <= most,
      `${allowed} were let through, the bucket's arithmetic says ${least} to ${most}`,
    );
    const { received } = await shop.stats(NAME);
    claim(received === allowed, `${allowed} were let through, the application received ${received}`);
    for (const { status, headers } of outcomes) {
      if (status !== 429) continue;
      const retryAfter = headers["retry-after"] ?? "";
      claim(/^[1-9]\d*$/u.test(retryAfter), `a 429 without a Retry-After in seconds: "${retryAfter}"`);
      const limits = Object.keys(headers).filter((name) => /^(?:x-)?ratelimit/u.test(name));
      claim(limits.length > 0, `a 429 without rate-limit headers: it had ${Object.keys(headers).join(", ")}`);
    }
    return `${allowed} of ${outcomes.length} let through (arithmetic: ${least} to ${most}), ${refused} x 429, each with Retry-After and rate-limit headers`;
  },
} satisfies Claim;
