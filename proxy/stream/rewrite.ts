// What the router does to heads: path and host rewrites, header mutations of route, host and table, forwarding notes.
import type { AttemptMark, HeaderMutations } from "#config/model/route.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { withoutQuery } from "#proxy/route/route-table.ts";

import { replaceMatched } from "./direct-answer.ts";
import type { HttpExchange } from "./exchange.ts";
import { formatText } from "./format.ts";
import type { UpstreamAttempt } from "./attempt.ts";

const NO_MARKS: readonly AttemptMark[] = [];

/** Makes the head that goes upstream out of the request's. */
export function rewriteRequest(
  exchange: HttpExchange,
  head: HeaderBlock,
  attempt: Pick<UpstreamAttempt, "number" | "endpoint">,
): void {
  const target = exchange.target;
  const action = exchange.compiled?.config.action;
  if (target === undefined || action?.kind !== "forward") return;
  for (const mutations of target.requestHeaders) mutate(exchange, head, mutations);
  const host =
    target.weighted?.hostRewrite ??
    action.hostRewrite ??
    exchange.compiled?.hostRewrite?.(head) ??
    (action.autoHostRewrite ? attempt.endpoint?.hostname : undefined);
  if (host !== undefined && host !== "") {
    const original = head.get(":authority");
    if (original !== undefined && !head.has("x-forwarded-host")) head.add("x-forwarded-host", original);
    head.set(":authority", host);
  }
  rewritePath(exchange, head);
  const marks = exchange.compiled?.virtualHost.attemptMarks ?? NO_MARKS;
  if (marks.length > 0) markAttempt(head, marks, exchange, attempt.number);
}

function markAttempt(head: HeaderBlock, marks: readonly AttemptMark[], exchange: HttpExchange, number: number): void {
  if (marks.includes("request")) head.set("x-envoy-attempt-count", String(number));
  if (number === 1 || !marks.includes("timeoutRetry")) return;
  const last = exchange.attempts.at(-2)?.outcome;
  const isTimeout = last?.kind === "failure" && last.reason === "per-try-timeout";
  head.set("x-envoy-is-timeout-retry", String(isTimeout));
}

/** Header changes of the chosen route on the way back; for local replies too. */
export function mutateResponse(exchange: HttpExchange, head: HeaderBlock): void {
  const target = exchange.target;
  if (target === undefined || target.responseHeaders.length === 0) return;
  // What operators of the answer look at.
  exchange.response = head;
  exchange.status = Number(head.get(":status") ?? "0");
  for (const mutations of target.responseHeaders) mutate(exchange, head, mutations);
}

function rewritePath(exchange: HttpExchange, head: HeaderBlock): void {
  const compiled = exchange.compiled;
  const action = compiled?.config.action;
  if (compiled === undefined || action?.kind !== "forward") return;
  const { prefixRewrite, pathRewrite } = action;
  const regex = compiled.regexRewrite;
  if (prefixRewrite === undefined && pathRewrite === undefined && regex === undefined) return;
  const path = head.get(":path") ?? "/";
  const plain = withoutQuery(path);
  const query = path.slice(plain.length);
  let rewritten = plain;
  if (pathRewrite !== undefined) rewritten = pathRewrite;
  else if (prefixRewrite !== undefined) rewritten = replaceMatched(plain, compiled.config.match.path, prefixRewrite);
  else if (regex !== undefined) rewritten = regex(plain);
  if (!exchange.service.config.suppressEnvoyHeaders) head.set("x-envoy-original-path", path);
  head.set(":path", rewritten + query);
}

/** A value that is empty once its operators have spoken changes nothing (Envoy, `keep_empty_value` is false). */
function mutate(exchange: HttpExchange, head: HeaderBlock, mutations: HeaderMutations): void {
  for (const name of mutations.remove) head.delete(name);
  for (const { name, value } of mutations.set) {
    const text = formatText(exchange, value);
    if (text !== "") head.set(name === "host" ? ":authority" : name, text);
  }
  for (const { name, value } of mutations.add) {
    const text = formatText(exchange, value);
    if (text !== "") head.add(name, text);
  }
  for (const { name, value } of mutations.addIfAbsent) {
    if (head.has(name)) continue;
    const text = formatText(exchange, value);
    if (text !== "") head.add(name, text);
  }
}
