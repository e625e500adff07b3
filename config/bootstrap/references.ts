// Names in a bootstrap that must lead somewhere: clusters of routes, of TCP proxies, of tracers, of the control plane.
import type { Bootstrap } from "../model/bootstrap.ts";
import type { FilterChain, HttpConnectionManager } from "../model/listener.ts";
import type { Route } from "../model/route.ts";
import type { Scope } from "../xds/issues.ts";

/** Reports what is named twice, and references to clusters that are neither here nor can come from a control plane. */
export function checkReferences(bootstrap: Omit<Bootstrap, "heddle">, scope: Scope): void {
  const clusters = new Set(bootstrap.clusters.map((cluster) => cluster.name));
  const resources = scope.field("static_resources");
  checkUnique(bootstrap.clusters, "cluster", resources.field("clusters"));
  checkUnique(bootstrap.listeners, "listener", resources.field("listeners"));
  checkUnique(bootstrap.secrets, "secret", resources.field("secrets"));
  if (bootstrap.ads !== undefined && !clusters.has(bootstrap.ads.cluster)) {
    scope
      .field("dynamic_resources")
      .field("ads_config")
      .invalid(`no static cluster is called "${bootstrap.ads.cluster}"`);
  }
  // With CDS a cluster may come later; until then a request to it gets 503.
  if (bootstrap.ads?.clusters) return;
  for (const [index, listener] of bootstrap.listeners.entries()) {
    const at = resources.field("listeners").at(index);
    for (const [position, chain] of listener.filterChains.entries()) {
      checkChain(chain, clusters, at.field("filter_chains").at(position));
    }
    if (listener.defaultFilterChain !== undefined)
      checkChain(listener.defaultFilterChain, clusters, at.field("default_filter_chain"));
  }
}

function checkUnique(resources: readonly { readonly name: string }[], kind: string, scope: Scope): void {
  const seen = new Set<string>();
  for (const [index, { name }] of resources.entries()) {
    if (seen.has(name)) scope.at(index).field("name").invalid(`another ${kind} is called "${name}" too`);
    seen.add(name);
  }
}

function checkChain(chain: FilterChain, clusters: ReadonlySet<string>, scope: Scope): void {
  const at = scope.field("filters").at(0).field("typed_config");
  const check = (name: string, where: Scope): void => {
    if (!clusters.has(name)) where.invalid(`unknown cluster "${name}"`);
  };
  if (chain.network.kind === "tcp") {
    for (const { name } of chain.network.tcp.clusters) check(name, at);
    return;
  }
  const { http } = chain.network;
  if (http.tracing?.exporter !== undefined) check(http.tracing.exporter.cluster, at.field("tracing").field("provider"));
  checkRoutes(http, check, at.field("route_config").field("virtual_hosts"));
}

function checkRoutes(http: HttpConnectionManager, check: (name: string, where: Scope) => void, scope: Scope): void {
  if (http.routes.kind !== "inline") return;
  for (const [index, host] of http.routes.table.virtualHosts.entries()) {
    for (const [position, route] of host.routes.entries()) {
      const where = scope.at(index).field("routes").at(position).field("route");
      for (const name of clustersOf(route)) check(name, where);
    }
  }
}

function clustersOf(route: Route): readonly string[] {
  if (route.action.kind !== "forward") return [];
  const { mirrors, target } = route.action;
  const named =
    target.kind === "cluster"
      ? [target.name]
      : target.kind === "weighted"
        ? target.clusters.map((item) => item.name)
        : [];
  return [...named, ...mirrors.map((mirror) => mirror.cluster)];
}
