// What one proxy is given: the seam between translation, which makes it, and discovery, which serves it over xDS.
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import type { Secret } from "#config/model/tls.ts";

/** Everything one proxy may ask for, at one version of the mesh; immutable; equal resources keep their identity (===) between versions. */
export interface ProxyResources {
  /** Version of the mesh configuration. */
  readonly version: string;
  readonly listeners: ReadonlyMap<string, Listener>;
  readonly routes: ReadonlyMap<string, RouteTable>;
  /** Those virtual hosts of tables with `onDemand` that were asked for and exist, by `<table>/<host>`, the name asked for. */
  readonly virtualHosts: ReadonlyMap<string, VirtualHost>;
  readonly clusters: ReadonlyMap<string, Cluster>;
  readonly endpoints: ReadonlyMap<string, ClusterLoadAssignment>;
  readonly secrets: ReadonlyMap<string, Secret>;
}

/** Who the resources are written for: an Envoy, a Heddle proxy, or a gRPC client with proxyless xDS. */
export type Dialect = "envoy" | "heddle" | "grpc";

export interface ResourceSource {
  /**
   * undefined: this node is unknown (the proxy is told so and retried). `asked`: the virtual hosts that the proxy asks for on
   * demand, as `<table>/<host>` in lower case; they come with the clusters that their routes lead to.
   */
  resourcesFor(node: NodeInfo, dialect: Dialect, asked: ReadonlySet<string>): ProxyResources | undefined;
  /** Why a node that is given nothing is refused, for people; undefined: it is in no configuration. */
  refusalOf?(node: NodeInfo): string | undefined;
  /** Called (coalesced) when a new mesh version exists, until the returned function is called. */
  subscribe(listener: () => void): () => void;
}
