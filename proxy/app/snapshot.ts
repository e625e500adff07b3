// The whole configuration that a proxy has in force, as the main thread keeps it.
import type { Bootstrap } from "#config/model/bootstrap.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable } from "#config/model/route.ts";
import type { Secret } from "#config/model/tls.ts";
import type { SharedRouteTable } from "#config/xds/plain/packed-hosts.ts";
import { PackedRouteTable } from "#config/xds/plain/packed-route-table.ts";
import { diffResources, type Changes, type ConfigDelta } from "#proxy/worker/protocol.ts";

export interface DataPlaneSnapshot {
  readonly version: string;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteTable>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly assignments: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly secrets: ReadonlyMap<string, Secret>;
}

export const EMPTY_SNAPSHOT: DataPlaneSnapshot = {
  version: "",
  listeners: new Map(),
  routes: new Map(),
  clusters: new Map(),
  assignments: new Map(),
  secrets: new Map(),
};

/** What the bootstrap says without any control plane. */
export function staticSnapshot(bootstrap: Bootstrap): DataPlaneSnapshot {
  const secrets = new Map(bootstrap.secrets.map((secret) => [secret.name, secret]));
  return {
    version: "static",
    listeners: new Map(bootstrap.listeners.map((listener) => [listener.name, listener])),
    routes: new Map(),
    clusters: new Map(bootstrap.clusters.map((cluster) => [cluster.name, cluster])),
    assignments: new Map(),
    secrets,
  };
}

/** The later one wins where both name the same resource; the version is the later one's. */
export function mergeSnapshots(base: DataPlaneSnapshot, over: DataPlaneSnapshot): DataPlaneSnapshot {
  return {
    version: over.version === "" ? base.version : over.version,
    listeners: new Map([...base.listeners, ...over.listeners]),
    routes: new Map([...base.routes, ...over.routes]),
    clusters: new Map([...base.clusters, ...over.clusters]),
    assignments: new Map([...base.assignments, ...over.assignments]),
    secrets: new Map([...base.secrets, ...over.secrets]),
  };
}

export function diffSnapshots(from: DataPlaneSnapshot, to: DataPlaneSnapshot): ConfigDelta {
  return {
    version: to.version,
    listeners: diffResources(from.listeners, to.listeners),
    routes: share(diffResources(from.routes, to.routes)),
    clusters: diffResources(from.clusters, to.clusters),
    assignments: diffResources(from.assignments, to.assignments),
    secrets: diffResources(from.secrets, to.secrets),
  };
}

/** Packed tables lie in memory that the workers see too: nothing of them is copied. */
function share({ changed, removed }: Changes<RouteTable>): Changes<RouteTable | SharedRouteTable> {
  return {
    changed: changed.map(([name, table]) => [name, table instanceof PackedRouteTable ? table.shared : table] as const),
    removed,
  };
}
