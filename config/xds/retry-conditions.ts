// When a request is tried again, by the names of Envoy's router filter.

/** Envoy ignores a name that it does not know; we say so. */
export const RETRY_CONDITIONS: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "envoy-ratelimited",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "http3-post-connect-failure",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);

/** Envoy: 25 ms, at most ten times the base. */
export const BASE_BACKOFF_MS = 25;
export const BACKOFF_CAP = 10;

export function splitConditions(retryOn: string): string[] {
  return retryOn
    .split(",")
    .map((condition) => condition.trim())
    .filter((condition) => condition !== "");
}
