// How long to wait before trying again: exponential, with full jitter, so that many clients do not come back together.
import type { Random } from "./random.ts";

/** 2^53 times any base is far above every cap; keeps `2 ** attempt` finite. */
const MAX_EXPONENT = 53;

/**
 * The delay before retry number `attempt` (1 = the first retry), in ms: uniform in [0, min((2^attempt - 1) * baseMs, maxMs)).
 * That is Envoy's formula (router_filter.rst, x-envoy-max-retries); its defaults are base 25 ms and ten times that as the cap.
 */
export function fullJitterMs(attempt: number, baseMs: number, maxMs: number, random: Random): number {
  return random.next() * backoffCeilingMs(attempt, baseMs, maxMs);
}

/**
 * A delay that somebody asked for, in ms: uniform in [least, 1.5 * least), so that not all who were told the same come back together
 * (Envoy: rate_limited_retry_back_off).
 */
export function lowerJitterMs(leastMs: number, random: Random): number {
  return leastMs * (1 + random.next() / 2);
}

/** The upper bound of `fullJitterMs`, exclusive. */
export function backoffCeilingMs(attempt: number, baseMs: number, maxMs: number): number {
  if (attempt < 1) return 0;
  return Math.min((2 ** Math.min(attempt, MAX_EXPONENT) - 1) * baseMs, maxMs);
}
