// What discovery gives to the rest of the proxy: one whole configuration at a time.
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable } from "#config/model/route.ts";
import type { Secret } from "#config/model/tls.ts";
import type { ResourceModel } from "#config/xds/resource.ts";

/** Immutable; a resource that did not change keeps its identity (===) from one to the next. */
export interface DiscoveredConfig {
  /** The control plane's version of the mesh. */
  readonly version: string;
  /** `stored`: from the state folder, before the control plane was reached. */
  readonly origin: "ads" | "stored";
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteTable>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  /** By the name under which clusters ask for them. */
  readonly assignments: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** A resource that compiled for nobody: the control plane is told, and the one before it stays. */
export interface ApplyError {
  readonly kind: ResourceModel["kind"];
  readonly name: string;
  readonly reason: string;
}

/** Puts a configuration to work in every worker, and answers what could not be; only then is it acknowledged. */
export type Apply = (config: DiscoveredConfig) => Promise<readonly ApplyError[]>;

/** The reason why a resource cannot be used, or `undefined` when it can. */
export type Validate = (resource: ResourceModel) => string | undefined;
