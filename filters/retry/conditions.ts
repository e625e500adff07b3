// The conditions of a retry policy by Envoy's names (docs: x-envoy-retry-on, x-envoy-retry-grpc-on).
import type { RetryPolicy } from "#config/model/route.ts";

import type { AttemptOutcome, Exchange } from "../filter.ts";

/** gRPC's numbers for Envoy's names. */
const GRPC_CODES: Readonly<Record<string, number>> = {
  cancelled: 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  internal: 13,
  unavailable: 14,
};

/** Whether one condition holds for how an attempt ended. gRPC codes are seen only in response headers, as in Envoy. */
export function isConditionMet(
  condition: string,
  outcome: AttemptOutcome,
  policy: RetryPolicy,
  exchange: Pick<Exchange, "hasRetriableHeaders">,
): boolean {
  return outcome.kind === "response"
    ? isMetByResponse(condition, outcome, policy, exchange)
    : isMetByFailure(condition, outcome.reason);
}

function isMetByResponse(
  condition: string,
  outcome: Extract<AttemptOutcome, { kind: "response" }>,
  policy: RetryPolicy,
  exchange: Pick<Exchange, "hasRetriableHeaders">,
): boolean {
  // As Envoy: what another Envoy's rate limit answered is repeated under that condition alone.
  if (condition === "envoy-ratelimited") return outcome.head.has("x-envoy-ratelimited");
  return isMetByAnswer(condition, outcome, policy, exchange) && !outcome.head.has("x-envoy-ratelimited");
}

function isMetByAnswer(
  condition: string,
  { status, grpcStatus, head }: Extract<AttemptOutcome, { kind: "response" }>,
  policy: RetryPolicy,
  exchange: Pick<Exchange, "hasRetriableHeaders">,
): boolean {
  switch (condition) {
    case "5xx":
      return status >= 500;
    case "gateway-error":
      return status === 502 || status === 503 || status === 504;
    case "retriable-4xx":
      return status === 409;
    case "retriable-status-codes":
      return policy.retriableStatusCodes.includes(status);
    case "retriable-headers":
      return exchange.hasRetriableHeaders(head);
    default:
      return grpcStatus !== undefined && grpcStatus > 0 && grpcStatus === GRPC_CODES[condition];
  }
}

function isMetByFailure(condition: string, reason: Extract<AttemptOutcome, { kind: "failure" }>["reason"]): boolean {
  switch (condition) {
    case "5xx":
      return reason !== "overflow" && reason !== "no-healthy-endpoint" && reason !== "unsayable";
    case "gateway-error":
      return reason !== "overflow" && reason !== "no-healthy-endpoint" && reason !== "unsayable";
    case "reset":
      return (
        reason === "reset" ||
        reason === "protocol" ||
        reason === "reset-before-request" ||
        reason === "connect-failure" ||
        reason === "connect-timeout" ||
        reason === "refused-stream" ||
        reason === "per-try-timeout" ||
        reason === "tls"
      );
    case "reset-before-request":
      return (
        reason === "reset-before-request" ||
        reason === "connect-failure" ||
        reason === "connect-timeout" ||
        reason === "tls"
      );
    case "connect-failure":
      return reason === "connect-failure" || reason === "connect-timeout" || reason === "tls";
    case "refused-stream":
      return reason === "refused-stream";
    default:
      return false;
  }
}
