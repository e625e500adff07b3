// Retries of a policy or of a route's rule as the model has them.
import type { FilterOverride } from "#config/model/filter-config.ts";
import type { RetryPolicy } from "#config/model/route.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { Retries } from "#config/schema/traffic/retries.ts";
import type { HTTPRouteRule } from "#config/schema/http-route.ts";
import { filterTypes } from "../filter-types.ts";

const unprocessed = ["connect-failure", "refused-stream", "reset-before-request"] as const;

const base: Omit<RetryPolicy, "retryOn" | "numRetries"> = {
  perTryTimeoutMs: 0,
  perTryIdleTimeoutMs: 0,
  retriableStatusCodes: [],
  retriableHeaders: [],
  backoff: { baseMs: 25, maxMs: 250 },
  avoidPreviousHosts: true,
  // Istio's: draws before an endpoint that was tried already is taken again.
  hostSelectionAttempts: 5,
  retriableRequestHeaders: [],
  omitHosts: [],
  rateLimitedBackoff: undefined,
};

/** Limits of one attempt in ms; 0 = none. */
export type TryLimits = Pick<RetryPolicy, "perTryTimeoutMs" | "perTryIdleTimeoutMs">;

/** undefined: only requests that were certainly not processed are sent again, once. */
export function retryPolicy(
  policy: Retries | undefined,
  rule: HTTPRouteRule["retry"],
  limits: TryLimits,
): RetryPolicy | undefined {
  if (rule !== undefined) {
    const baseMs = rule.backoff === undefined ? base.backoff.baseMs : Math.max(1, durationMs(rule.backoff));
    return {
      ...base,
      // Gateway API: also disconnects, resets and an attempt that took too long, whatever codes are named.
      retryOn: [...unprocessed, "reset", "retriable-status-codes"],
      numRetries: rule.attempts ?? policy?.attempts ?? 2,
      retriableStatusCodes: rule.codes ?? [],
      backoff: { baseMs, maxMs: baseMs * 10 },
      ...limits,
    };
  }
  if (policy !== undefined)
    return {
      ...base,
      retryOn: policy.retryOn,
      numRetries: policy.attempts,
      retriableStatusCodes: policy.retriableStatusCodes,
      backoff: { baseMs: durationMs(policy.backoff.baseInterval), maxMs: durationMs(policy.backoff.maxInterval) },
      retriableHeaders: policy.retriableHeaders.map((name) => ({
        name: name.toLowerCase(),
        match: { kind: "present", present: true },
        invert: false,
        missingAsEmpty: false,
      })),
      rateLimitedBackoff: retryAfter(durationMs(policy.retryAfter.maxInterval)),
      ...limits,
    };
  // A limit for one attempt alone: repeats what no policy at all would repeat.
  return limits.perTryTimeoutMs === 0 && limits.perTryIdleTimeoutMs === 0
    ? undefined
    : { ...base, retryOn: ["connect-failure", "refused-stream"], numRetries: 1, ...limits };
}

/** An Envoy reads the form in seconds alone. */
function retryAfter(maxMs: number): RetryPolicy["rateLimitedBackoff"] {
  return maxMs === 0 ? undefined : { resetHeaders: [{ name: "retry-after", format: "seconds" }], maxMs };
}

/** What Envoy's retry policy has no field for, for our own filter. `rule` is the object that said it. */
export function retryOverride(policy: Retries | undefined, rule: string): readonly FilterOverride[] {
  if (policy === undefined) return [];
  const config = { rule, retryOnNonIdempotent: policy.retryOnNonIdempotent, isLateAnswered: true };
  return [{ filter: filterTypes.retry.name, typeUrl: filterTypes.retry.typeUrl, config, disabled: false }];
}
