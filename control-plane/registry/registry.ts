// The registry contract: whoever knows services and endpoints tells them, change by change, to a sink.
import type { EndpointHealth } from "#config/model/endpoint.ts";
import type { PortProtocol } from "#config/model/port-protocol.ts";
import type { Labels } from "#config/model/route.ts";
import type { PortRange } from "../mesh/ports.ts";

export interface ServicePort {
  readonly name: string;
  readonly port: number;
  /** By `protocolOfPort`; ports of UDP are not told of. */
  readonly protocol: Exclude<PortProtocol, "UDP">;
}

/** One service as its registry knows it; immutable. */
export interface RegistryService {
  readonly namespace: string;
  readonly name: string;
  /** Hosts beyond `name`, `name.namespace` and `name.namespace.svc`. */
  readonly hosts: readonly string[];
  /** Virtual IPs, under which captured connections mean it; none: it is headless, or known by its names alone. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServicePort[];
  readonly endpoints: readonly RegistryEndpoint[];
  /**
   * Instances that are not ready: nobody is told of them, but their own proxies serve the service already, so that they do when
   * the first caller hears of them.
   */
  readonly pending?: readonly RegistryEndpoint[];
  /** Its endpoints are what somebody wrote, not what a registry saw. */
  readonly isWritten?: boolean;
  /** Where it was read, for people: `shop.yaml:12:1`. */
  readonly origin: string;
}

/** One instance; its name is unique in the namespace and names its workload. */
export interface RegistryEndpoint {
  readonly name: string;
  /** An IP address. */
  readonly address: string;
  /** Port name of the service to the port on `address`; an absent one is the service's own number. */
  readonly ports: Readonly<Record<string, number>>;
  /** Names of the service's ports that this instance does not have; absent: it has them all. */
  readonly lacks?: readonly string[];
  readonly labels: Labels;
  readonly weight: number;
  readonly health: EndpointHealth;
  readonly serviceAccount: string;
  /** Undefined: not in the mesh, called in plaintext. Never guessed (contracts.md, "The mesh hop"). */
  readonly sidecar: Sidecar | undefined;
  /** It vanished together with many others and is kept for a while (suspects.ts). */
  readonly isSuspect: boolean;
}

/** What the proxy beside an instance listens on. */
export interface Sidecar {
  /** Port name of the service to the mesh listener's port on the endpoint's address. */
  readonly inbound: Readonly<Record<string, number>>;
  /** Listeners on 127.0.0.1, each for one port of one service. */
  readonly outbound: readonly OutboundPort[];
  /** The packet filter leads the pod's connections to the proxy; undefined: the application calls its localhost ports. */
  readonly capture: Capture | undefined;
  readonly httpProxyPort: number | undefined;
  readonly adminPort: number | undefined;
  readonly metricsPort: number | undefined;
}

/**
 * Where redirected connections arrive. With it the mesh calls an instance at the application's own port, which the packet filter
 * redirects to `inboundPort`; the original destination says which port was meant.
 */
export interface Capture {
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** Ports of the application that are not redirected: there it is called past its proxy. Absent: none. */
  readonly passedPorts?: readonly PortRange[];
}

interface OutboundPort {
  /** `name` (same namespace) or `namespace/name`. */
  readonly service: string;
  /** A port of the service, by number or name. */
  readonly port: number | string;
  readonly listen: number;
}

/** An instance with a proxy, whether or not a service leads to it: a pod. `namespace/name` is its node's id. */
export interface RegistryWorkload {
  readonly namespace: string;
  readonly name: string;
  /** All its IP addresses, the first one first in messages. */
  readonly addresses: readonly string[];
  readonly labels: Labels;
  readonly serviceAccount: string;
  readonly sidecar: Sidecar;
}

/** What changed of the instances; `removed` has ids (`namespace/name`). */
export interface WorkloadChange {
  readonly changed: readonly RegistryWorkload[];
  readonly removed: readonly string[];
}

/**
 * Where a registry tells what it knows. What it told stays until it says otherwise: a registry that cannot be reached calls
 * `fail` and nothing else, and never `replace` with less than it knows.
 */
export interface RegistrySink {
  /** The whole truth: what is not in it is gone. At the start, and whenever a watch could not be resumed. */
  replace(services: readonly RegistryService[], workloads?: readonly RegistryWorkload[]): void;
  /** Changes that belong together; `removed` has keys (`serviceKey`). */
  change(changed: readonly RegistryService[], removed: readonly string[], workloads?: WorkloadChange): void;
  /** The source cannot be reached or read; the registry tries again by itself, backing off with jitter. */
  fail(error: Error): void;
}

/** A source of services: a folder, Consul, etcd, Kubernetes ... Every implementation runs testing/suite.ts. */
export interface Registry {
  /** For metrics and messages: `file`, `consul:dc1`. */
  readonly name: string;
  /**
   * Endpoints that vanish in a mass are kept as suspects. False where removal is always a deliberate edit; `endpoints` where that of
   * a whole service is.
   */
  readonly guardsVanishing: boolean | "endpoints";
  /** Begins to tell `sink`, at once or later; each error goes to `sink.fail`. */
  watch(sink: RegistrySink): RegistryWatch;
}

export interface RegistryWatch {
  /** After it resolves the sink is not called any more. */
  close(): Promise<void>;
}

/** `namespace/name`. */
export function serviceKey(service: { readonly namespace: string; readonly name: string }): string {
  return `${service.namespace}/${service.name}`;
}
