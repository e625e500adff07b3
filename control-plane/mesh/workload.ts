// A workload: one instance with its proxy, whatever number of services it is an endpoint of.
import type { Labels } from "#config/model/route.ts";
import { serviceKey, type RegistryEndpoint, type RegistryService, type ServicePort } from "../registry/registry.ts";

/** The proxy's node id is `id`; its certificate says `identity`. */
export interface Workload {
  /** `namespace/endpoint name`. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly serviceAccount: string;
  readonly labels: Labels;
  readonly inbound: readonly WorkloadPort[];
  readonly outbound: readonly WorkloadOutbound[];
  readonly httpProxyPort: number | undefined;
  readonly adminPort: number | undefined;
  readonly metricsPort: number | undefined;
}

/** One port of one service that the workload serves. */
export interface WorkloadPort {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: ServicePort;
  /** Where the application listens, on the workload's address. */
  readonly appPort: number;
  /** Where its proxy listens for the mesh; undefined: this port is not in the mesh. */
  readonly meshPort: number | undefined;
}

/** A listener on 127.0.0.1 for one port of another service. */
export interface WorkloadOutbound {
  readonly service: string;
  /** By number or name; may name nothing. */
  readonly port: number | string;
  readonly listen: number;
}

/** One endpoint of one service, as the registry tells it. */
export interface Membership {
  readonly service: RegistryService;
  readonly endpoint: RegistryEndpoint;
}

/** `spiffe://<trust domain>/ns/<namespace>/sa/<account>`. */
export function spiffeId(trustDomain: string, namespace: string, serviceAccount: string): string {
  return `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
}

/** Where the application of an endpoint listens for one port of its service. */
export function appPortOf(endpoint: RegistryEndpoint, port: ServicePort): number {
  return endpoint.ports[port.name] ?? port.port;
}

/** Joins the memberships of one workload; undefined where none has a sidecar. Settings of the first one win. */
export function makeWorkload(memberships: readonly Membership[]): Workload | undefined {
  const [first] = memberships;
  if (first === undefined || memberships.every(({ endpoint }) => endpoint.sidecar === undefined)) return undefined;
  const { namespace } = first.service;
  const outbound = new Map<number, WorkloadOutbound>();
  for (const { endpoint } of memberships)
    for (const { service, port, listen } of endpoint.sidecar?.outbound ?? [])
      if (!outbound.has(listen)) outbound.set(listen, { service: qualify(service, namespace), port, listen });
  const setting = (name: "httpProxyPort" | "adminPort" | "metricsPort"): number | undefined =>
    memberships.map(({ endpoint }) => endpoint.sidecar?.[name]).find((value) => value !== undefined);
  return {
    id: `${namespace}/${first.endpoint.name}`,
    namespace,
    name: first.endpoint.name,
    address: first.endpoint.address,
    serviceAccount: first.endpoint.serviceAccount,
    labels: Object.assign({}, ...memberships.map(({ endpoint }) => endpoint.labels).toReversed()) as Labels, // labels are flat text
    inbound: memberships.flatMap(({ service, endpoint }) =>
      service.ports.map((port) => ({
        service: serviceKey(service),
        port,
        appPort: appPortOf(endpoint, port),
        meshPort: endpoint.sidecar?.inbound[port.name],
      })),
    ),
    outbound: [...outbound.values()],
    httpProxyPort: setting("httpProxyPort"),
    adminPort: setting("adminPort"),
    metricsPort: setting("metricsPort"),
  };
}

/** `reviews` becomes `shop/reviews` in the namespace shop; `shop/reviews` stays. */
function qualify(name: string, namespace: string): string {
  return name.includes("/") ? name : `${namespace}/${name}`;
}
