// How generated resources are called; both planes, metrics and `heddle explain` know them by these names.

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
  const [namespace = "", name = ""] = service.split("/");
  const full = [`${name}.${namespace}`, `${name}.${namespace}.svc`, `${name}.${namespace}.svc.cluster.local`];
  return [...(namespace === clientNamespace ? [name] : []), ...full, ...hosts];
}
