// The type URLs under which xDS resources travel.

const PREFIX = "type.googleapis.com/";

export const LISTENER_TYPE_URL = `${PREFIX}envoy.config.listener.v3.Listener`;
export const ROUTE_TYPE_URL = `${PREFIX}envoy.config.route.v3.RouteConfiguration`;
export const VIRTUAL_HOST_TYPE_URL = `${PREFIX}envoy.config.route.v3.VirtualHost`;
export const CLUSTER_TYPE_URL = `${PREFIX}envoy.config.cluster.v3.Cluster`;
export const ENDPOINT_TYPE_URL = `${PREFIX}envoy.config.endpoint.v3.ClusterLoadAssignment`;
export const SECRET_TYPE_URL = `${PREFIX}envoy.extensions.transport_sockets.tls.v3.Secret`;

/** The kinds of resources, in the order in which xDS adds them (make before break). */
export type ResourceKind = "cluster" | "endpoints" | "listener" | "route" | "virtualHost" | "secret";

/** `kind` and type URL, one for one. */
export const TYPE_URLS = {
  cluster: CLUSTER_TYPE_URL,
  endpoints: ENDPOINT_TYPE_URL,
  listener: LISTENER_TYPE_URL,
  route: ROUTE_TYPE_URL,
  virtualHost: VIRTUAL_HOST_TYPE_URL,
  secret: SECRET_TYPE_URL,
} as const satisfies Readonly<Record<ResourceKind, string>>;

/** The kind that a type URL stands for, or `undefined` for a type that Heddle does not know. */
export function tryResourceKind(typeUrl: string): ResourceKind | undefined {
  for (const [kind, url] of Object.entries(TYPE_URLS)) if (url === typeUrl) return kind as ResourceKind;
  return undefined;
}

/** The message's full name in a type URL: `type.googleapis.com/a.B` is `a.B`. */
export function typeNameOf(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** The type URL of a message's full name. */
export function typeUrlOf(typeName: string): string {
  return PREFIX + typeName;
}
