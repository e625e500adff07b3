// Random route tables and virtual hosts that xDS can say.
import * as fc from "fast-check";
import type {
  AttemptMark,
  ForwardAction,
  Route,
  RouteMatch,
  RouteTable,
  VirtualHost,
  WeightedCluster,
} from "../../model/route.ts";
import {
  few,
  fraction,
  hashPolicy,
  headerMatcher,
  labels,
  maybe,
  maybeWord,
  ms,
  queryMatcher,
  retry,
  scoped,
  struct,
  word,
} from "./generators.ts";

const path: fc.Arbitrary<RouteMatch["path"]> = fc.oneof(
  fc.record({ kind: fc.constantFrom("prefix", "path"), value: word.map((text) => `/${text}`) }),
  fc.record({ kind: fc.constant("pathSeparatedPrefix"), value: word.map((text) => `/${text}`) }),
  fc.record({ kind: fc.constant("regex"), value: fc.constant("/a/[^/]+") }),
  fc.record({ kind: fc.constant("connect") }),
);

const match: fc.Arbitrary<RouteMatch> = fc.record({
  path,
  caseSensitive: fc.boolean(),
  headers: few(headerMatcher),
  query: few(queryMatcher),
  grpcOnly: fc.boolean(),
  runtimeFraction: maybe(fraction),
});

const weighted = scoped<Omit<WeightedCluster, "requestHeaders" | "responseHeaders" | "filterOverrides">>({
  name: word,
  weight: fc.integer({ min: 1, max: 100 }),
  subset: labels,
  hostRewrite: maybe(word),
});

const regexRewrite = { pattern: "^/a/(.*)", substitution: "/\\1" };

const rewrite = fc.oneof(
  fc.record({ prefixRewrite: word, pathRewrite: fc.constant(undefined), regexRewrite: fc.constant(undefined) }),
  fc.record({ prefixRewrite: fc.constant(undefined), pathRewrite: word, regexRewrite: fc.constant(undefined) }),
  fc.record({
    prefixRewrite: fc.constant(undefined),
    pathRewrite: fc.constant(undefined),
    regexRewrite: maybe(fc.constant(regexRewrite)),
  }),
);

const host = fc.oneof(
  fc.record({ hostRewrite: maybe(word), autoHostRewrite: fc.constant(false) }),
  fc.record({ hostRewrite: fc.constant(undefined), autoHostRewrite: fc.constant(true) }),
  fc.record({
    hostRewrite: fc.constant(undefined),
    autoHostRewrite: fc.constant(false),
    hostRewriteFrom: fc.constantFrom(
      { kind: "header" as const, name: "x-to" },
      { kind: "path" as const, ...regexRewrite },
    ),
  }),
);

const forward: fc.Arbitrary<ForwardAction> = fc
  .tuple(
    rewrite,
    host,
    fc.record({
      kind: fc.constant("forward" as const),
      target: fc.oneof(
        fc.record({ kind: fc.constant("cluster" as const), name: word }),
        fc.record({ kind: fc.constant("header" as const), name: word }),
        fc.record({
          kind: fc.constant("weighted" as const),
          clusters: fc.array(weighted, { minLength: 1, maxLength: 3 }),
        }),
      ),
      clusterNotFoundStatus: fc.constantFrom(503, 404, 500),
      timeoutMs: ms,
      idleTimeoutMs: maybe(ms),
      maxGrpcTimeoutMs: maybe(ms),
      grpcTimeoutOffsetMs: ms,
      maxStreamMs: maybe(ms),
      hedgeOnPerTryTimeout: maybe(fc.boolean()),
      retry: maybe(retry),
      hashPolicy: few(hashPolicy),
      subset: labels,
      mirrors: few(fc.record({ cluster: word, fraction })),
      upgrades: fc.uniqueArray(fc.record({ name: word, enabled: fc.boolean() }), {
        selector: (item) => item.name,
        maxLength: 2,
      }),
      priority: fc.constantFrom("default" as const, "high" as const),
    }),
  )
  .map(([rewrites, hosts, rest]) => ({ ...rest, ...rewrites, ...hosts }));

const route = scoped<Omit<Route, "requestHeaders" | "responseHeaders" | "filterOverrides">>({
  name: maybeWord,
  match,
  action: fc.oneof(
    forward,
    fc.record({
      kind: fc.constant("redirect" as const),
      status: fc.constantFrom(301, 302, 303, 307, 308),
      scheme: maybe(fc.constantFrom("http", "https")),
      host: maybe(word),
      port: maybe(fc.integer({ min: 1, max: 65535 })),
      path: maybe(
        fc.oneof(
          fc.record({ kind: fc.constantFrom("full" as const, "prefix" as const), value: word }),
          fc.constant({ kind: "regex" as const, ...regexRewrite }),
        ),
      ),
      stripQuery: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("direct" as const), status: fc.integer({ min: 200, max: 599 }), body: maybeWord }),
  ),
  metadata: struct,
});

const plainHost = scoped<Omit<VirtualHost, "requestHeaders" | "responseHeaders" | "filterOverrides">>({
  name: word,
  domains: fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
  routes: few(route),
  retry: maybe(retry),
});

export const virtualHost: fc.Arbitrary<VirtualHost> = fc
  .tuple(
    plainHost,
    fc.record(
      {
        attemptMarks: fc.subarray<AttemptMark>(["request", "response", "timeoutRetry"], { minLength: 1 }),
        hedgeOnPerTryTimeout: fc.constant(true),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([host, attempts]) => ({ ...host, ...attempts }));

export const routeTable = scoped<Omit<RouteTable, "requestHeaders" | "responseHeaders" | "filterOverrides">>({
  name: word,
  virtualHosts: fc
    .array(virtualHost, { maxLength: 2 })
    .map((hosts) =>
      hosts.map((item, index) => ({ ...item, domains: item.domains.map((domain) => `${domain}.${index}`) })),
    ),
  onDemand: fc.boolean(),
});
