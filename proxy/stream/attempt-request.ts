// What an attempt sends, and what may be done with it: its request's head is changed for this attempt alone.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { isIdempotent } from "#lib/http/idempotent.ts";
import { formatGrpcTimeout, tryParseGrpcTimeoutMs } from "#proxy/resilience/deadline.ts";
import type { Care } from "#proxy/upstream/contract.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import type { HttpExchange } from "./exchange.ts";
import { rewriteRequest } from "./rewrite.ts";

/** What its loss would do. */
export function careOf({ request, isUpgradeRequest }: HttpExchange): Care {
  if (isUpgradeRequest) return "proven";
  return isIdempotent(request) ? "none" : "proven";
}

/** What goes upstream must not change what a next attempt begins with. */
export function keepsOriginal({ target, service, keepsForAnother }: HttpExchange, mayRepeat: boolean): boolean {
  return mayRepeat || keepsForAnother || (target?.changesRequest === true && service.chain.onAttemptEnd.length > 0);
}

/** Makes of the client's head what this attempt's endpoint gets, as far as it is not the filters' to say. */
export function prepareHead(exchange: HttpExchange, head: HeaderBlock, attempt: UpstreamAttempt): void {
  rewriteRequest(exchange, head, attempt);
  if (exchange.isGrpc) tellDeadline(exchange, head, attempt);
  if (exchange.service.config.suppressEnvoyHeaders) return;
  const expectedMs = exchange.timers.expectedMs(attempt.number === 1);
  if (expectedMs > 0) head.set("x-envoy-expected-rq-timeout-ms", String(Math.round(expectedMs)));
}

/** The upstream must not work longer than somebody waits: what is left of the caller's deadline goes on with the attempt. */
function tellDeadline(exchange: HttpExchange, head: HeaderBlock, attempt: UpstreamAttempt): void {
  const action = exchange.compiled?.config.action;
  if (action?.kind !== "forward") return;
  if (action.maxGrpcTimeoutMs !== undefined) {
    const left = exchange.timers.attemptLeftMs();
    if (left > 0) head.set("grpc-timeout", formatGrpcTimeout(left));
  } else if (attempt.number > 1 || exchange.isDiverted) {
    const asked = tryParseGrpcTimeoutMs(head.get("grpc-timeout"));
    const left = (asked ?? 0) - (attempt.startMs - exchange.startMs);
    if (asked !== undefined) head.set("grpc-timeout", formatGrpcTimeout(Math.max(1, left)));
  }
}
