// The names that the injector writes into pods, and that both planes and the tests read there.

/** Annotations and labels that users set on pods and namespaces. */
export const names = {
  inject: "heddle.dev/inject",
  interception: "heddle.dev/interception",
  nativeSidecar: "heddle.dev/native-sidecar",
  excludeOutboundPorts: "heddle.dev/exclude-outbound-ports",
  excludeInboundPorts: "heddle.dev/exclude-inbound-ports",
  includeInboundPorts: "heddle.dev/include-inbound-ports",
  excludeOutboundCidrs: "heddle.dev/exclude-outbound-cidrs",
  includeOutboundCidrs: "heddle.dev/include-outbound-cidrs",
  excludeUids: "heddle.dev/exclude-uids",
  excludeGids: "heddle.dev/exclude-gids",
  cpuRequest: "heddle.dev/proxy-cpu-request",
  cpuLimit: "heddle.dev/proxy-cpu-limit",
  memoryRequest: "heddle.dev/proxy-memory-request",
  memoryLimit: "heddle.dev/proxy-memory-limit",
  proxyImage: "heddle.dev/proxy-image",
  logLevel: "heddle.dev/proxy-log-level",
  concurrency: "heddle.dev/proxy-concurrency",
  upstreams: "heddle.dev/upstreams",
  rewriteProbes: "heddle.dev/rewrite-probes",
  imagePullSecrets: "heddle.dev/image-pull-secrets",
} as const;

/** What the injector did to a pod: JSON, see sidecar-annotation.ts. */
export const SIDECAR_ANNOTATION = "heddle.dev/sidecar";
/** Label of every pod with a proxy; its value is `enabled`. */
export const MESH_LABEL = "heddle.dev/mesh";

export const PROXY_CONTAINER = "heddle-proxy";
export const INIT_CONTAINER = "heddle-init";

export const podPorts = { outbound: 15_001, inbound: 15_006, metrics: 15_020 } as const;

/** On the metrics port: the answer comes when callers have had time to learn that the pod is going. */
export const REMOVAL_WAIT_PATH = "/probes/wait-for-removal";

/** The user id of the proxy, which the packet filter lets through. */
export const PROXY_UID = 1337;
