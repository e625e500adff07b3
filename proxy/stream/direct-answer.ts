// Routes that answer by themselves: redirects and direct responses.
import type { DirectResponseAction, RedirectAction, RouteMatch } from "#config/model/route.ts";
import { encodeGrpcMessage, grpcStatusFor } from "#lib/grpc/status.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";

export function answerWithoutUpstream(exchange: HttpExchange, action: RedirectAction | DirectResponseAction): void {
  if (action.kind === "redirect") {
    const head = HeaderBlock.of(
      [":status", String(action.status)],
      ["location", locationOf(exchange, action)],
      ["content-length", "0"],
    );
    exchange.answering.sendWhole(head, Buffer.alloc(0));
    return;
  }
  if (exchange.isGrpc) {
    answerGrpc(exchange, action);
    return;
  }
  const body = Buffer.from(action.body);
  const head = HeaderBlock.of([":status", String(action.status)], ["content-length", String(body.length)]);
  if (body.length > 0) head.add("content-type", "text/plain");
  exchange.answering.sendWhole(head, exchange.request.get(":method") === "HEAD" ? Buffer.alloc(0) : body);
}

/** As Envoy: the status in gRPC's words, the body as its message. */
function answerGrpc(exchange: HttpExchange, { status, body }: DirectResponseAction): void {
  const head = HeaderBlock.of(
    [":status", "200"],
    ["content-type", "application/grpc"],
    ["grpc-status", String(grpcStatusFor(status))],
  );
  if (body.length > 0) head.add("grpc-message", encodeGrpcMessage(body));
  exchange.answering.sendWhole(head, Buffer.alloc(0));
}

/** The target of a redirect, as Envoy makes it: parts that the action does not name stay; a default port is left out. */
function locationOf(exchange: HttpExchange, action: RedirectAction): string {
  const request = exchange.request;
  const asked = request.get("x-forwarded-proto") ?? request.get(":scheme") ?? "http";
  const scheme = action.scheme ?? asked;
  const authority = request.get(":authority") ?? "";
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(authority);
  const host = action.host ?? parts?.[1] ?? authority;
  const given = action.host === undefined ? Number(parts?.[2] ?? "0") : 0;
  const port = action.port ?? (given === defaultPort(asked) ? 0 : given);
  return `${scheme}://${host}${port === 0 || port === defaultPort(scheme) ? "" : `:${port}`}${redirectPath(exchange, action)}`;
}

function defaultPort(scheme: string): number {
  return scheme === "https" ? 443 : 80;
}

function redirectPath(exchange: HttpExchange, action: RedirectAction): string {
  const path = exchange.request.get(":path") ?? "/";
  const mark = path.indexOf("?");
  const plain = mark < 0 ? path : path.slice(0, mark);
  const query = mark < 0 || action.stripQuery ? "" : path.slice(mark);
  if (action.path === undefined) return plain + query;
  // A path that has a query of its own replaces both.
  if (action.path.kind === "full")
    return action.path.value.includes("?") ? action.path.value : action.path.value + query;
  if (action.path.kind === "regex") return (exchange.compiled?.regexRewrite?.(plain) ?? plain) + query;
  return replaceMatched(plain, exchange.route?.match.path, action.path.value) + query;
}

/** As text, like Envoy: no slash is added or left out. What a regular expression matched is the whole path. */
export function replaceMatched(path: string, match: RouteMatch["path"] | undefined, replacement: string): string {
  if (match?.kind === "regex") return replacement;
  return replacement + (match === undefined || match.kind === "connect" ? path : path.slice(match.value.length));
}
