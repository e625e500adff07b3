// The keys of metadata on the wire that mean something to Heddle.

/** Labels that subsets are chosen by. */
export const LB_KEY = "envoy.lb";
/** Labels that a cluster's `transport_socket_matches` look at. */
export const TRANSPORT_SOCKET_KEY = "envoy.transport_socket_match";
/** Hystrix's breaker of a cluster: `model/cluster.ts` BreakerPolicy. */
export const BREAKER_KEY = "heddle.breaker";
/** Stages of a cluster's outlier detection: `model/cluster.ts` OutlierStages. */
export const OUTLIER_KEY = "heddle.outlier";
/** The sidecar in front of an endpoint: `model/endpoint.ts` MeshHop. Of an original-destination cluster: who all peers are. */
export const MESH_KEY = "heddle.mesh";
/** How a filter chain treats HTTP, where Envoy has no field for it: `{ forwarded: append, hosts: [reviews, ...] }`. */
export const HTTP_KEY = "heddle.http";
/** Where a route came from. */
export const ROUTE_KEY = "heddle.route";
