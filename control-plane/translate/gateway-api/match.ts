// Matches of HTTPRoute and GRPCRoute as the model has them, and the order in which Gateway API tries them.
import type { HeaderMatcher, QueryMatcher, StringMatcher } from "#config/model/matcher.ts";
import type { RouteMatch } from "#config/model/route.ts";
import type { GRPCRouteMatch } from "#config/schema/grpc-route.ts";
import type { HTTPRouteMatch } from "#config/schema/http-route.ts";
import { anyRequest } from "../defaults.ts";

/** Greater parts come first, compared one after the other. */
type Rank = readonly number[];

export interface RankedMatch {
  readonly match: RouteMatch;
  readonly rank: Rank;
}

interface ValueMatch {
  readonly type: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
}

/**
 * Order of HTTPRouteMatch: exact path, longest prefix, method, number of headers, number of query parameters. Regular
 * expressions stand between exact paths and prefixes, which Gateway API leaves to us.
 */
export function httpMatch(match: HTTPRouteMatch): RankedMatch {
  const headers = firstOfName(match.headers);
  const query = match.queryParams ?? [];
  const { type, value } = match.path;
  const pathRank = { Exact: 2, RegularExpression: 1, PathPrefix: 0 }[type];
  const method = match.method === undefined ? [] : [exactHeader(":method", match.method)];
  return {
    match: {
      ...anyRequest,
      path: httpPath(type, value),
      headers: [...method, ...headers.map(headerMatcher)],
      query: query.map(queryMatcher),
    },
    rank: [pathRank, value.length, match.method === undefined ? 0 : 1, headers.length, query.length],
  };
}

/** Order of GRPCRouteMatch: longest service, longest method, number of headers. No match at all takes every call. */
export function grpcMatch(match: GRPCRouteMatch | undefined): RankedMatch {
  const headers = firstOfName(match?.headers);
  const { service, method } = match?.method ?? {};
  const type = match?.method?.type ?? "Exact";
  return {
    match: {
      ...anyRequest,
      path: grpcPath(type, service, method),
      headers: headers.map(headerMatcher),
      grpcOnly: true,
    },
    rank: [service?.length ?? 0, method?.length ?? 0, headers.length],
  };
}

/** Gateway API: of entries whose names differ in case alone the first holds, and the others are ignored. */
export function firstOfName<T extends { readonly name: string }>(entries: readonly T[] = []): readonly T[] {
  const first = new Map<string, T>();
  for (const entry of entries) {
    const name = entry.name.toLowerCase();
    if (!first.has(name)) first.set(name, entry);
  }
  return [...first.values()];
}

/** Negative: left is tried first. Rules for gRPC come before all others, since they match gRPC alone. */
export function compareMatches(left: RankedMatch, right: RankedMatch): number {
  return Number(right.match.grpcOnly) - Number(left.match.grpcOnly) || compareRanks(left.rank, right.rank);
}

function compareRanks(left: Rank, right: Rank): number {
  for (const [index, value] of left.entries()) {
    const difference = (right[index] ?? 0) - value;
    if (difference !== 0) return difference;
  }
  return 0;
}

function httpPath(type: HTTPRouteMatch["path"]["type"], value: string): RouteMatch["path"] {
  if (type === "Exact") return { kind: "path", value };
  if (type === "RegularExpression") return { kind: "regex", value };
  // `/foo/` and `/foo` are the same prefix; it ends at a slash.
  const prefix = value.replace(/\/+$/, "");
  return prefix === "" ? { kind: "prefix", value: "/" } : { kind: "pathSeparatedPrefix", value: prefix };
}

function grpcPath(
  type: "Exact" | "RegularExpression",
  service: string | undefined,
  method: string | undefined,
): RouteMatch["path"] {
  if (service === undefined && method === undefined) return { kind: "prefix", value: "/" };
  if (type === "RegularExpression") return { kind: "regex", value: `/${service ?? "[^/]+"}/${method ?? "[^/]+"}` };
  if (method === undefined) return { kind: "prefix", value: `/${service}/` };
  if (service === undefined) return { kind: "regex", value: `/[^/]+/${method}` };
  return { kind: "path", value: `/${service}/${method}` };
}

function headerMatcher(header: ValueMatch): HeaderMatcher {
  return { ...exactHeader(header.name.toLowerCase(), ""), match: { kind: "string", matcher: textMatcher(header) } };
}

export function exactHeader(name: string, value: string): HeaderMatcher {
  const matcher: StringMatcher = { kind: "exact", value, ignoreCase: false };
  return { name, match: { kind: "string", matcher }, invert: false, missingAsEmpty: false };
}

export function presentHeader(name: string): HeaderMatcher {
  return { name, match: { kind: "present", present: true }, invert: false, missingAsEmpty: false };
}

function queryMatcher(parameter: ValueMatch): QueryMatcher {
  return { name: parameter.name, match: { kind: "string", matcher: textMatcher(parameter) } };
}

function textMatcher({ type, value }: ValueMatch): StringMatcher {
  return type === "Exact" ? { kind: "exact", value, ignoreCase: false } : { kind: "regex", value };
}
