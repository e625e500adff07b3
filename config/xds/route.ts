// RouteConfiguration and VirtualHost: tables of routes, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Route, RouteAction, RouteTable, VirtualHost } from "../model/route.ts";
import { adsSource, checkAdsSource } from "./config-source.ts";
import { given } from "./fields.ts";
import { RouteConfigurationSchema, type RouteConfiguration } from "./gen/envoy/config/route/v3/route_pb.ts";
import {
  RouteSchema,
  VirtualHostSchema,
  type Route as WireRoute,
  type VirtualHost as WireHost,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { routeScopeFromWire, routeScopeToWire } from "./header-mutations.ts";
import type { Scope } from "./issues.ts";
import { ROUTE_KEY } from "./metadata-keys.ts";
import { metadataToWire } from "./metadata.ts";
import { rateLimitsFromWire, rateLimitsToWire } from "./rate-limits.ts";
import { retryFromWire, retryToWire } from "./retry.ts";
import {
  directResponseFromWire,
  directResponseToWire,
  forwardFromWire,
  forwardToWire,
  redirectFromWire,
  redirectToWire,
} from "./route-action.ts";
import { matchFromWire, matchToWire } from "./route-match.ts";

const MARKS = [
  ["request", "includeRequestAttemptCount"],
  ["response", "includeAttemptCountInResponse"],
  ["timeoutRetry", "includeIsTimeoutRetryHeader"],
] as const;

export function routeTableFromWire(wire: RouteConfiguration, scope: Scope): RouteTable {
  if (wire.vhds !== undefined) checkAdsSource(wire.vhds.configSource, scope.field("vhds").field("config_source"));
  checkDomains(wire.virtualHosts, scope.field("virtual_hosts"));
  return {
    name: wire.name,
    virtualHosts: wire.virtualHosts.map((host, index) =>
      virtualHostFromWire(host, scope.field("virtual_hosts").at(index)),
    ),
    onDemand: wire.vhds !== undefined,
    ...routeScopeFromWire(wire, scope),
  };
}

/** A domain that two hosts claim would be served by whichever was read first. Host names have no case (RFC 9110 §4.2.3). */
function checkDomains(hosts: readonly WireHost[], scope: Scope): void {
  const seen = new Map<string, string>();
  for (const [index, host] of hosts.entries()) {
    for (const [position, domain] of host.domains.entries()) {
      const key = domain.toLowerCase();
      const owner = seen.get(key);
      if (owner !== undefined) {
        scope
          .at(index)
          .field("domains")
          .at(position)
          .invalid(`only unique domains are permitted: "${domain}" is in "${owner}" too`);
      }
      seen.set(key, host.name);
    }
  }
}

export function virtualHostFromWire(wire: WireHost, scope: Scope): VirtualHost {
  for (const [index, domain] of wire.domains.entries()) {
    if (domain.slice(1, -1).includes("*")) {
      scope.field("domains").at(index).invalid(`a wildcard may only come first or last: got "${domain}"`);
    }
  }
  return {
    name: wire.name,
    domains: wire.domains,
    routes: wire.routes.map((route, index) => routeFromWire(route, scope.field("routes").at(index))),
    retry: retryFromWire(wire.retryPolicy, scope.field("retry_policy")),
    ...rateLimitsFromWire(wire.rateLimits, scope.field("rate_limits")),
    ...attemptsFromWire(wire),
    ...routeScopeFromWire(wire, scope),
  };
}

function attemptsFromWire(wire: WireHost): Pick<VirtualHost, "attemptMarks" | "hedgeOnPerTryTimeout"> {
  const attemptMarks = MARKS.flatMap(([mark, field]) => (wire[field] ? mark : []));
  return {
    ...(attemptMarks.length > 0 ? { attemptMarks } : {}),
    ...(wire.hedgePolicy?.hedgeOnPerTryTimeout === true ? { hedgeOnPerTryTimeout: true } : {}),
  };
}

function routeFromWire(wire: WireRoute, scope: Scope): Route {
  return {
    name: wire.name,
    match:
      wire.match === undefined
        ? {
            path: { kind: "prefix", value: "/" },
            caseSensitive: true,
            headers: [],
            query: [],
            grpcOnly: false,
            runtimeFraction: undefined,
          }
        : matchFromWire(wire.match, scope.field("match")),
    action: actionFromWire(wire.action, scope),
    metadata: wire.metadata?.filterMetadata[ROUTE_KEY] ?? {},
    ...routeScopeFromWire(wire, scope),
  };
}

function actionFromWire(action: WireRoute["action"], scope: Scope): RouteAction {
  switch (action.case) {
    case "route":
      return forwardFromWire(action.value, scope.field("route"));
    case "redirect":
      return redirectFromWire(action.value, scope.field("redirect"));
    case "directResponse":
      return directResponseFromWire(action.value, scope.field("direct_response"));
    case "filterAction":
    case "nonForwardingAction":
    case undefined:
      // Reported already.
      return { kind: "direct", status: 500, body: "" };
  }
}

export function routeTableToWire(model: RouteTable): RouteConfiguration {
  return create(RouteConfigurationSchema, {
    name: model.name,
    virtualHosts: model.virtualHosts.map(virtualHostToWire),
    ...(model.onDemand ? { vhds: { configSource: adsSource() } } : {}),
    ...routeScopeToWire(model),
  });
}

export function virtualHostToWire(model: VirtualHost): WireHost {
  return create(VirtualHostSchema, {
    name: model.name,
    domains: [...model.domains],
    routes: model.routes.map(routeToWire),
    ...given("retryPolicy", model.retry && retryToWire(model.retry)),
    rateLimits: rateLimitsToWire(model.rateLimits),
    ...Object.fromEntries(
      MARKS.filter(([mark]) => model.attemptMarks?.includes(mark) === true).map(([, field]) => [field, true]),
    ),
    ...(model.hedgeOnPerTryTimeout === true ? { hedgePolicy: { hedgeOnPerTryTimeout: true } } : {}),
    ...routeScopeToWire(model),
  });
}

function routeToWire(model: Route): WireRoute {
  return create(RouteSchema, {
    name: model.name,
    match: matchToWire(model.match),
    action: actionToWire(model.action),
    ...given("metadata", metadataToWire({ [ROUTE_KEY]: model.metadata })),
    ...routeScopeToWire(model),
  });
}

function actionToWire(model: RouteAction): NonNullable<MessageInitShape<typeof RouteSchema>["action"]> {
  switch (model.kind) {
    case "forward":
      return { case: "route", value: forwardToWire(model) };
    case "redirect":
      return { case: "redirect", value: redirectToWire(model) };
    case "direct":
      return { case: "directResponse", value: directResponseToWire(model) };
  }
}
