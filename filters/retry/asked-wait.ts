// How long an answer asks to be left alone: the reset headers of a retry policy (Envoy: `rate_limited_retry_back_off`).
import type { RateLimitedBackoff, RetryPolicy } from "#config/model/route.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { tryParseRetryAfterMs } from "#lib/http/retry-after.ts";

import type { Attempt } from "../filter.ts";

/** Envoy: shorter ones do not count. */
const LEAST_MS = 2;

/**
 * The wait in ms that the first header asks for which is there, can be read and is not above the policy's maximum; "too late": all
 * are above it; undefined: nothing is asked. A moment that has passed asks nothing.
 */
export function askedWait(policy: RetryPolicy, { outcome }: Attempt, wallMs: number): number | "too late" | undefined {
  const { rateLimitedBackoff } = policy;
  if (rateLimitedBackoff === undefined || outcome?.kind !== "response") return undefined;
  let isLate = false;
  for (const header of rateLimitedBackoff.resetHeaders) {
    const waitMs = readWait(outcome.head, header, wallMs);
    if (waitMs === undefined || waitMs < LEAST_MS) continue;
    if (waitMs <= rateLimitedBackoff.maxMs) return waitMs;
    isLate = true;
  }
  return isLate ? "too late" : undefined;
}

function readWait(
  head: HeaderBlock,
  { name, format }: RateLimitedBackoff["resetHeaders"][number],
  wallMs: number,
): number | undefined {
  const value = head.get(name);
  if (value === undefined) return undefined;
  if (format === "seconds") return tryParseRetryAfterMs(value, wallMs);
  return /^[0-9]{1,15}$/.test(value) ? Number(value) * 1000 - wallMs : undefined;
}
