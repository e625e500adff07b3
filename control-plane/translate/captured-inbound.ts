// What the packet filter takes of the connections to an application: the original destination says which port is meant.
//
//   15006 -> a port of a service -> listener without a socket: that port's policies  -> the application at the address that was called
//         -> any other port      -> the same mutual TLS and authorization, opaque    -> the same
import { isIPv6 } from "node:net";
import type { Cluster } from "#config/model/cluster.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { Workload, WorkloadPort } from "../mesh/workload.ts";
import type { Capture, ServicePort } from "../registry/registry.ts";
import { originalDestinationCluster } from "./captured-unknown.ts";
import { anyConnection, listenerBufferBytes } from "./defaults.ts";
import { applicationProtocol, inboundChains, type BuiltInbound } from "./inbound.ts";
import { inboundCaptureName, inboundName, meshServerName, podServerName, refusedClusters } from "./names.ts";
import { tcpChain } from "./outbound-chains.ts";
import type { Scope } from "./scope.ts";

/**
 * Where the application's connections from its proxy come from: the packet filter knows them by it and does not redirect them
 * again (cli/init). ::6 is an address of `lo` there, as all of 127.0.0.0/8 is by itself.
 */
const proxySources = ["127.0.0.6", "::6"] as const;

/**
 * The ports that the workload serves, one for each number: the first of several services that share it speaks for it. A service that
 * leads to a port of the proxy is refused there.
 */
export function capturedPorts(scope: Scope, workload: Workload, capture: Capture): readonly CapturedPort[] {
  const ports = new Map<number, WorkloadPort[]>();
  const own = proxyPorts(workload, capture);
  for (const port of workload.inbound) {
    if (own.includes(port.appPort)) continue;
    const sharing = ports.get(port.appPort);
    if (sharing === undefined) ports.set(port.appPort, [port]);
    else sharing.push(port);
  }
  return [...ports.values()].flatMap((sharing) => {
    const [first, ...others] = sharing.toSorted((left, right) => (rankOf(scope, left) < rankOf(scope, right) ? -1 : 1));
    return first === undefined ? [] : [{ port: first, others }];
  });
}

export interface CapturedPort {
  readonly port: WorkloadPort;
  /** The same port of other services: callers' proxies name theirs. */
  readonly others: readonly WorkloadPort[];
}

/** Services with addresses of their own before headless ones, then by key: it is these that policies are written for. */
function rankOf({ reader }: Scope, { service, port }: WorkloadPort): string {
  const hasAddress = (reader.get("services", service)?.addresses.length ?? 0) > 0;
  return `${hasAddress ? 0 : 1} ${service} ${String(port.port).padStart(5, "0")}`;
}

export function capturedInbound(scope: Scope, workload: Workload, { port, others }: CapturedPort): BuiltInbound {
  const name = inboundName(port.service, port.port.port);
  const serverNames = [port, ...others].map((one) => meshServerName(one.service, one.port.port));
  // Callers who have not yet heard that the port is in a service call it as one of none.
  serverNames.push(podServerName(`${workload.namespace}/${workload.serviceAccount}`));
  const { chains, collector } = inboundChains(scope, workload, port, name, [...new Set(serverNames)], [], others);
  const [address = workload.address, ...more] = workload.addresses;
  // A pod may have addresses that Kubernetes does not tell of (a second network): its policies hold there too.
  const additionalAddresses = [...more, "0.0.0.0", "::"].map((other) => ({ address: other, port: port.appPort }));
  return {
    listener: {
      name,
      address: { address, port: port.appPort },
      additionalAddresses,
      direction: "inbound",
      bindToPort: false,
      useOriginalDst: false,
      ...chains,
      perConnectionBufferLimitBytes: listenerBufferBytes,
    },
    cluster: applicationAt(name, port),
    collector,
  };
}

/** The socket that redirected connections come to. It serves by itself those to ports that are in no service. */
export function inboundCaptureListener(scope: Scope, workload: Workload, capture: Capture): BuiltInbound {
  const port: WorkloadPort = { service: `${workload.namespace}/`, port: anyPort, appPort: 0, meshPort: undefined };
  const name = inboundCaptureName;
  // Callers may have heard of a port's service before this proxy has: their proxies name it, which is of this namespace.
  const pod = podServerName(`${workload.namespace}/${workload.serviceAccount}`);
  const serverNames = [pod, `*.${workload.namespace}`];
  const { chains, collector } = inboundChains(scope, workload, port, name, serverNames, ["h2"]);
  // With IPv6, the wildcard of both families; a node without it has none of its addresses.
  const address = workload.addresses.some((one) => isIPv6(one)) ? "::" : "0.0.0.0";
  const listener: Listener = {
    name,
    address: { address, port: capture.inboundPort },
    direction: "inbound",
    bindToPort: true,
    useOriginalDst: true,
    ...chains,
    filterChains: [...proxyPorts(workload, capture).map(refusal), ...chains.filterChains],
    perConnectionBufferLimitBytes: listenerBufferBytes,
  };
  return { listener, cluster: applicationAt(name, port), collector };
}

/** A port that nobody says anything of: the first bytes of each connection tell. */
export const anyPort: ServicePort = { name: "", port: 0, protocol: "AUTO" };

/** The proxy's own: a connection straight to 15006 was never redirected, and sent on it would come back for ever. */
function proxyPorts({ adminPort }: Workload, { inboundPort, outboundPort }: Capture): readonly number[] {
  return [...new Set([inboundPort, outboundPort, ...(adminPort === undefined ? [] : [adminPort])])];
}

function refusal(destinationPort: number): FilterChain {
  const chain = tcpChain(`${refusedClusters.loop}/${destinationPort}`, refusedClusters.loop, { accessLogs: [] });
  return { ...chain, match: { ...anyConnection, destinationPort } };
}

function applicationAt(name: string, port: WorkloadPort): Cluster {
  const cluster = originalDestinationCluster(name, proxySources);
  return { ...cluster, http: { ...cluster.http, protocol: applicationProtocol(port) } };
}
