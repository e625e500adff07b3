// A workload: one instance with its proxy, whatever number of services it is an endpoint of.
import type { Labels } from "#config/model/route.ts";
import { hasPort } from "./ports.ts";
import {
  serviceKey,
  type Capture,
  type RegistryEndpoint,
  type RegistryService,
  type RegistryWorkload,
  type ServicePort,
  type Sidecar,
} from "../registry/registry.ts";

/** The proxy's node id is `id`; its certificate says `identity`. */
export interface Workload {
  /** `namespace/endpoint name`. */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  /** `address` and those of other families. */
  readonly addresses: readonly string[];
  readonly serviceAccount: string;
  readonly labels: Labels;
  readonly inbound: readonly WorkloadPort[];
  readonly outbound: readonly WorkloadOutbound[];
  readonly capture: Capture | undefined;
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

/** Whether it is an endpoint of that port of its service too. */
export function servesPort({ lacks = [] }: RegistryEndpoint, { name }: ServicePort): boolean {
  return !lacks.includes(name);
}

/** Where the application of an endpoint listens for one port of its service. */
export function appPortOf(endpoint: RegistryEndpoint, port: ServicePort): number {
  return endpoint.ports[port.name] ?? port.port;
}

/** Where the mesh calls it; undefined: this port is not in the mesh. */
export function meshPortOf(endpoint: RegistryEndpoint, port: ServicePort): number | undefined {
  const capture = endpoint.sidecar?.capture;
  const appPort = appPortOf(endpoint, port);
  if (capture !== undefined) return hasPort(capture.passedPorts ?? [], appPort) ? undefined : appPort;
  return endpoint.sidecar?.inbound[port.name];
}

/**
 * Joins what is known of one workload: `instance` is what its registry tells of it alone. undefined where it has no sidecar.
 * What the instance says holds over what its memberships say, and of these the first.
 */
export function makeWorkload(
  memberships: readonly Membership[],
  instance: RegistryWorkload | undefined,
): Workload | undefined {
  const owner = instance ?? ownerOf(memberships);
  if (owner === undefined) return undefined;
  const { namespace, name, addresses, serviceAccount } = owner;
  const endpoints = memberships.map(({ endpoint }) => endpoint);
  const sidecars = [instance?.sidecar, ...endpoints.map(({ sidecar }) => sidecar)].filter(
    (sidecar) => sidecar !== undefined,
  );
  const [address] = addresses;
  if (sidecars.length === 0 || address === undefined) return undefined;
  const outbound = new Map<number, WorkloadOutbound>();
  for (const { service, port, listen } of sidecars.flatMap((sidecar) => sidecar.outbound))
    if (!outbound.has(listen)) outbound.set(listen, { service: qualify(service, namespace), port, listen });
  const setting = <Name extends keyof Sidecar>(key: Name): Sidecar[Name] | undefined =>
    sidecars.map((sidecar) => sidecar[key]).find((value) => value !== undefined);
  const labels = [...endpoints.map((endpoint) => endpoint.labels).toReversed(), instance?.labels];
  return {
    id: `${namespace}/${name}`,
    namespace,
    name,
    address,
    addresses,
    serviceAccount,
    labels: Object.assign({}, ...labels) as Labels, // labels are flat text
    inbound: memberships.flatMap(({ service, endpoint }) =>
      service.ports.flatMap((port) => {
        if (!servesPort(endpoint, port)) return [];
        const appPort = appPortOf(endpoint, port);
        return { service: serviceKey(service), port, appPort, meshPort: meshPortOf(endpoint, port) };
      }),
    ),
    outbound: [...outbound.values()],
    capture: setting("capture"),
    httpProxyPort: setting("httpProxyPort"),
    adminPort: setting("adminPort"),
    metricsPort: setting("metricsPort"),
  };
}

/** A workload that only its memberships tell of: the first one speaks for it. */
function ownerOf([first]: readonly Membership[]): Omit<RegistryWorkload, "labels" | "sidecar"> | undefined {
  if (first === undefined) return undefined;
  const { name, address, serviceAccount } = first.endpoint;
  return { namespace: first.service.namespace, name, addresses: [address], serviceAccount };
}

/** `reviews` becomes `shop/reviews` in the namespace shop; `shop/reviews` stays. */
function qualify(name: string, namespace: string): string {
  return name.includes("/") ? name : `${namespace}/${name}`;
}
