// How generated resources are called; both planes, metrics and `heddle explain` know them by these names.

/** How records and answers call the document that a setting comes from: `TrafficPolicy shop/reviews`. */
export function documentName(document: {
  readonly kind: string;
  readonly metadata: { readonly namespace: string; readonly name: string };
}): string {
  return `${document.kind} ${document.metadata.namespace}/${document.metadata.name}`;
}

/** One port of one service: cluster, endpoints and route table share it. */
export function outboundName(service: string, port: number | string): string {
  return `outbound/${service}/${port}`;
}

/** A cluster of its own for a subset. */
export function subsetName(service: string, port: number | string, subset: string): string {
  return `${outboundName(service, port)}/${subset}`;
}

export function outboundListenerName(service: string, port: number | string, listen: number): string {
  return `${outboundName(service, port)}@127.0.0.1:${listen}`;
}

/** Where a connection to the address of an instance goes: to that one and no other. */
export function directName(service: string, port: number | string): string {
  return `direct/${service}/${port}`;
}

/** Where a connection to the address of a pod goes, on a port that is in no service: `owner` is `namespace/service account`. */
export function podsName(owner: string): string {
  return `pods/${owner}`;
}

/** The server name of a mesh hop to such a port; 0 is a port of no service. */
export function podServerName(owner: string): string {
  return meshServerName(owner, 0);
}

/** The listener for what is captured on the way to a service's virtual addresses. */
export function capturedName(service: string, port: number | string): string {
  return `${outboundName(service, port)}@captured`;
}

/** The listener for what the packet filter sends out of the application's connections. */
export function outboundCaptureName(family: "ipv4" | "ipv6"): string {
  return `outbound/captured/${family}`;
}

/** Requests to addresses that no service has, to hosts of which the mesh knows, on one port. */
export function unknownHostsName(port: number): string {
  return `outbound/hosts/${port}`;
}

/** Connections to destinations that the mesh does not know go on as they were. */
export const passthroughName = "outbound/passthrough";

/** The listener for what the packet filter leads to the application, and the application behind it on ports of no service. */
export const inboundCaptureName = "inbound/captured";

/** Clusters that do not exist: the name says why a connection is closed. */
export const refusedClusters = {
  unknown: "refused/outboundPolicy-deny",
  loop: "refused/port-of-the-proxy",
} as const;

/** The listener for the mesh and the cluster of the application behind it. */
export function inboundName(service: string, port: number | string): string {
  return `inbound/${service}/${port}`;
}

export const httpProxyName = "outbound/http-proxy";

/** The server name of a mesh hop: `outbound_.9080_._.reviews.shop`. */
export function meshServerName(service: string, port: number): string {
  const [namespace = "", name = ""] = service.split("/");
  return `outbound_.${port}_._.${name}.${namespace}`;
}

/** Every host name of a service: short ones only inside its own namespace. */
export function hostsOf(service: string, hosts: readonly string[], clientNamespace: string): readonly string[] {
  return [...ownNames(service, clientNamespace), ...claimedHosts(service, hosts, clientNamespace)];
}

/** The names that are a service's by where it is. */
export function ownNames(service: string, clientNamespace: string): readonly string[] {
  const [namespace = "", name = ""] = service.split("/");
  const full = [`${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
  return namespace === clientNamespace ? [name, ...full] : full;
}

/**
 * Of the hosts that somebody wrote for a service those that are not another namespace's to give: names of its services, wildcards
 * over them, and short names, which mean a service of the client's own namespace.
 */
export function claimedHosts(service: string, hosts: readonly string[], clientNamespace: string): readonly string[] {
  const [namespace = ""] = service.split("/");
  return hosts.filter((host) => {
    const labels = host.toLowerCase().split(".");
    if (labels.length === 1) return namespace === clientNamespace;
    const [first, second, third] = labels;
    if (first === "*" && (second === "svc" || labels.slice(1).join(".") === "cluster.local" || labels.length === 2))
      return false;
    return third !== "svc" || second === namespace;
  });
}

/** Keys of services with those of the client's namespace first: of two that claim one host, its own is meant. */
export function ownFirst(keys: readonly string[], clientNamespace: string): readonly string[] {
  const isOwn = (key: string): boolean => key.startsWith(`${clientNamespace}/`);
  return [...keys.filter(isOwn), ...keys.filter((key) => !isOwn(key))];
}
