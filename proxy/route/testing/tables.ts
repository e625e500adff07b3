// Route tables for tests, with everything that a test does not name left out.
import type { ForwardAction, Route, RouteScope, RouteTable, VirtualHost } from "#config/model/route.ts";

export const NO_SCOPE: RouteScope = {
  requestHeaders: { set: [], add: [], addIfAbsent: [], remove: [] },
  responseHeaders: { set: [], add: [], addIfAbsent: [], remove: [] },
  filterOverrides: [],
};

export const FORWARD: ForwardAction = {
  kind: "forward",
  target: { kind: "cluster", name: "backend" },
  clusterNotFoundStatus: 503,
  timeoutMs: 0,
  idleTimeoutMs: undefined,
  maxGrpcTimeoutMs: undefined,
  grpcTimeoutOffsetMs: 0,
  maxStreamMs: undefined,
  hedgeOnPerTryTimeout: undefined,
  retry: undefined,
  hashPolicy: [],
  prefixRewrite: undefined,
  pathRewrite: undefined,
  regexRewrite: undefined,
  hostRewrite: undefined,
  autoHostRewrite: false,
  subset: {},
  mirrors: [],
  upgrades: [],
  priority: "default",
};

export function makeRoute(
  name: string,
  match: Partial<Route["match"]> = {},
  action: Partial<ForwardAction> = {},
): Route {
  return {
    ...NO_SCOPE,
    name,
    match: {
      path: { kind: "prefix", value: "/" },
      caseSensitive: true,
      headers: [],
      query: [],
      grpcOnly: false,
      runtimeFraction: undefined,
      ...match,
    },
    action: { ...FORWARD, ...action },
    metadata: {},
  };
}

export function makeHost(name: string, domains: readonly string[], routes: readonly Route[]): VirtualHost {
  return { ...NO_SCOPE, name, domains, routes, retry: undefined };
}

export function makeTable(virtualHosts: readonly VirtualHost[]): RouteTable {
  return { ...NO_SCOPE, name: "table", virtualHosts, onDemand: false };
}
