// The head of the attempt whose answer goes to the client.
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import type { HttpExchange } from "./exchange.ts";
import { unpackOrigProto } from "./orig-proto.ts";
import { mutateResponse } from "./rewrite.ts";

/** Makes of the upstream's head what the response's filters get: what the mesh, the route and the router add. */
export function takeAnswer(
  exchange: HttpExchange,
  head: HeaderBlock,
  attempt: UpstreamAttempt,
  status: number,
  nowMs: number,
): void {
  if (attempt.endpoint?.mesh.kind === "peer") unpackOrigProto(head);
  if (status === 101 || (status >= 200 && status < 300 && exchange.request.get(":method") === "CONNECT")) {
    exchange.isTunnel = true;
    exchange.timers.stopRoute();
  }
  if (!exchange.service.config.suppressEnvoyHeaders) {
    const serviceMs = exchange.timers.serviceMs(nowMs);
    if (serviceMs >= 0) head.set("x-envoy-upstream-service-time", String(Math.floor(serviceMs)));
  }
  if (exchange.compiled?.virtualHost.attemptMarks?.includes("response") === true)
    head.set("x-envoy-attempt-count", String(attempt.number));
  if (exchange.cookies !== undefined) for (const cookie of exchange.cookies) head.add("set-cookie", cookie);
  mutateResponse(exchange, head);
}
