// Holds what came through Envoy against what came through Heddle.
import { isDeepStrictEqual } from "node:util";

import type { Step } from "./case-schema.ts";
import type { Fields } from "./client.ts";
import type { Exchange } from "./play.ts";
import type { Sighting } from "./upstream.ts";

export interface Difference {
  readonly what: string;
  readonly envoy: unknown;
  readonly heddle: unknown;
}

/** Of these only whether they are there is compared: each proxy writes its own. */
const ONLY_PRESENCE: ReadonlySet<string> = new Set([
  "date",
  "server",
  "x-request-id",
  "x-exchange",
  "x-envoy-upstream-service-time",
  "x-envoy-expected-rq-timeout-ms",
]);
/** Of a connection and not of the message, or what only one of both says by design (README.md). */
const NEVER: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "proxy-status",
  "traceparent",
]);
/** Of what the proxy itself answers: both have bodies of their own. A case names what matters to it in `expect`. */
const OF_LOCAL_REPLY: ReadonlySet<string> = new Set([
  "content-type",
  "content-length",
  "server",
  "x-request-id",
  "grpc-message",
]);

/** Lists, that may stand in one field or in several (RFC 9110 §5.3). */
const LISTS: ReadonlySet<string> = new Set(["via", "x-forwarded-for"]);

/** What differs between two exchanges of the same request. */
export function differencesOf(step: Step, envoy: Exchange, heddle: Exchange): readonly Difference[] {
  const ignored = new Set(step.ignore?.map((name) => name.toLowerCase()));
  if (step.upstreams !== undefined || step.shares !== undefined || step.sameUpstream === true) ignored.add("upstream");
  const [left, right] = [comparable(step, envoy, ignored), comparable(step, heddle, ignored)];
  const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
  return [...keys]
    .filter((key) => !isDeepStrictEqual(left[key], right[key]))
    .map((what) => ({ what, envoy: left[what], heddle: right[what] }));
}

/** Flat: what is compared, by the path under which it is named. */
function comparable(step: Step, exchange: Exchange, ignored: ReadonlySet<string>): Record<string, unknown> {
  const flat: Record<string, unknown> = {};
  const isLocal = exchange.upstream === null;
  const isAny = ignored.has("upstream");
  flat["error"] = exchange.error !== undefined;
  if (!ignored.has("status")) flat["status"] = exchange.status;
  if (!isAny) flat["upstream"] = exchange.upstream;
  const hasBody = isLocal ? step.expect?.body !== undefined : !isAny;
  if (hasBody && !ignored.has("body")) flat["body"] = exchange.body;
  addHeaders(flat, "headers", exchange.headers, (name) => ignored.has(name) || (isLocal && OF_LOCAL_REPLY.has(name)));
  addHeaders(flat, "trailers", exchange.trailers, (name) => ignored.has(name));
  if (ignored.has("calls")) return flat;
  flat["calls"] = exchange.seen.length;
  // Calls of one request may overtake each other: mirrors, hedges.
  const seen = isAny ? exchange.seen : [...exchange.seen].sort((a, b) => order(a).localeCompare(order(b)));
  for (const [i, call] of seen.entries()) {
    const at = `seen[${i}]`;
    if (!isAny) flat[`${at}.upstream`] = call.upstream;
    for (const field of ["method", "path", "authority", "protocol", "body"] as const)
      if (!ignored.has(field)) flat[`${at}.${field}`] = call[field];
    addHeaders(flat, `${at}.headers`, call.headers, (name) => ignored.has(name) || name === "host" || name[0] === ":");
  }
  return flat;
}

function order({ upstream, authority, path }: Sighting): string {
  return `${upstream} ${authority} ${path}`;
}

function addHeaders(
  flat: Record<string, unknown>,
  at: string,
  fields: Fields,
  isIgnored: (name: string) => boolean,
): void {
  const isAny = !Object.hasOwn(flat, "upstream");
  for (const [name, values] of Object.entries(fields)) {
    if (NEVER.has(name) || isIgnored(name)) continue;
    // Where any application may answer, what tells them apart is not compared.
    if (isAny && (name === "x-upstream" || name === "content-length")) continue;
    flat[`${at}.${name}`] = ONLY_PRESENCE.has(name) ? "present" : LISTS.has(name) ? values.join().split(/, */) : values;
  }
}
