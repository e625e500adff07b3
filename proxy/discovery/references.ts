// Which resources others name: what has to be subscribed to, and waited for, before they can be used.
import type { Cluster } from "#config/model/cluster.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { CommonTls } from "#config/model/tls.ts";

/** Names of route tables, load assignments and secrets. */
export interface References {
  readonly routes: Set<string>;
  readonly assignments: Set<string>;
  readonly secrets: Set<string>;
}

export function collectReferences(listeners: Iterable<Listener>, clusters: Iterable<Cluster>): References {
  const found: References = { routes: new Set(), assignments: new Set(), secrets: new Set() };
  for (const listener of listeners) {
    for (const chain of listener.filterChains) addChain(chain, found);
    if (listener.defaultFilterChain !== undefined) addChain(listener.defaultFilterChain, found);
  }
  for (const cluster of clusters) addCluster(cluster, found);
  return found;
}

function addChain(chain: FilterChain, found: References): void {
  if (chain.network.kind === "http" && chain.network.http.routes.kind === "rds") {
    found.routes.add(chain.network.http.routes.name);
  }
  addTls(chain.tls, found);
}

function addCluster(cluster: Cluster, found: References): void {
  const { discovery } = cluster;
  if (discovery.kind === "eds")
    found.assignments.add(discovery.serviceName === "" ? cluster.name : discovery.serviceName);
  addTls(cluster.tls, found);
  for (const { tls } of cluster.tlsMatches) addTls(tls, found);
}

function addTls(tls: CommonTls | undefined, found: References): void {
  if (tls?.certificate?.kind === "sds") found.secrets.add(tls.certificate.name);
  if (tls?.validation?.roots.kind === "sds") found.secrets.add(tls.validation.roots.name);
}
