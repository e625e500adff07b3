// Where an application's captured connections arrive, and what those come to whose destination is no address of a service:
//
//   15001 on loopback -> an address of a service or instance -> its own listener, which has no socket (captured-outbound.ts)
//                     -> any other -> by Host or server name, where a service of the mesh has that host
//                                  -> else as MeshConfig.outboundPolicy says: on to where it was going, or refused
import { isIPv6 } from "node:net";
import type { Cluster } from "#config/model/cluster.ts";
import type { FilterChain, FilterChainMatch, HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { Route, VirtualHost } from "#config/model/route.ts";
import type { Workload } from "../mesh/workload.ts";
import type { Capture, RegistryService, ServicePort } from "../registry/registry.ts";
import {
  anyConnection,
  anyRequest,
  detectionMs,
  emptyScope,
  forwardDefaults,
  limitDefaults,
  listenerBufferBytes,
  plainHttp,
  unlimited,
  upstreamDefaults,
} from "./defaults.ts";
import { serviceRoutes } from "./gateway-api/routes.ts";
import {
  claimedHosts,
  outboundCaptureName,
  ownFirst,
  passthroughName,
  refusedClusters,
  unknownHostsName,
} from "./names.ts";
import type { BuiltTable } from "./outbound.ts";
import {
  anyChain,
  anyServiceFilters,
  outboundManager,
  tcpChain,
  usualListener,
  type Client,
} from "./outbound-chains.ts";
import { hostOverrides } from "./policy/policy-filters.ts";
import { telemetryFor, type TrafficTelemetry } from "./policy/telemetry.ts";
import { meshConfigOf, wholeBackend, type Backend, type Scope } from "./scope.ts";

export interface BuiltCapture {
  readonly listener: Listener;
  /** Ports for whose unknown hosts it asks a table by RDS. */
  readonly ports: readonly number[];
  readonly backends: readonly Backend[];
  readonly clusters: readonly Cluster[];
}

export type Loopback = "127.0.0.1" | "::1";

/** What the packet filter redirects to: one for each family that the workload has, and nobody else can connect to it. */
export function captureAddresses({ addresses }: Workload): readonly Loopback[] {
  const hasIpv6 = addresses.some((address) => isIPv6(address));
  const hasIpv4 = addresses.some((address) => !isIPv6(address));
  return [...(hasIpv4 ? (["127.0.0.1"] as const) : []), ...(hasIpv6 ? (["::1"] as const) : [])];
}

export function captureListener(
  scope: Scope,
  client: Client,
  workload: Workload,
  { outboundPort }: Capture,
  loopback: Loopback,
): BuiltCapture {
  const telemetry = telemetryFor(scope.reader, `${workload.namespace}/`, undefined, "outbound", client.owner);
  const filters = anyServiceFilters(scope, client, telemetry);
  const manage = (name: string, routes: HttpConnectionManager["routes"]): HttpConnectionManager =>
    outboundManager(name, routes, filters, telemetry);
  const chains = [loopChain(workload, outboundPort, loopback, telemetry)];
  const ports: number[] = [];
  const backends: Backend[] = [];
  for (const [port, hosted] of hostedPorts(scope)) {
    const httpHosts = hosted.filter((one) => one.port.protocol !== "TCP");
    if (httpHosts.length > 0) {
      const name = unknownHostsName(port);
      ports.push(port);
      chains.push(httpChain({ ...plainHttp, destinationPort: port }, manage(name, { kind: "rds", name })));
    }
    for (const { key, serverNames } of opaqueHosts(hosted, scope.clientNamespace)) {
      const target = wholeBackend(key, port);
      backends.push(target);
      const match = { ...anyConnection, destinationPort: port, transportProtocol: "tls", serverNames } as const;
      chains.push({ ...tcpChain(target.cluster, target.cluster, telemetry), match });
    }
  }
  const isDenied = meshConfigOf(scope.reader).outboundPolicy === "deny";
  if (isDenied) {
    const table = { ...emptyScope, name: refusedClusters.unknown, virtualHosts: [anyHost(true)], onDemand: false };
    chains.push(httpChain(plainHttp, manage(table.name, { kind: "inline", table })));
  }
  const rest = isDenied ? refusedClusters.unknown : passthroughName;
  return {
    listener: {
      name: outboundCaptureName(isIPv6(loopback) ? "ipv6" : "ipv4"),
      address: { address: loopback, port: outboundPort },
      direction: "outbound",
      ...usualListener,
      useOriginalDst: true,
      inspectTls: true,
      inspectHttp: true,
      inspectTimeoutMs: detectionMs,
      filterChains: chains,
      defaultFilterChain: tcpChain(rest, rest, telemetry),
    },
    ports,
    backends,
    clusters: [
      ...(isDenied ? [] : [originalDestinationCluster(passthroughName, [])]),
      ...(telemetry.collector === undefined ? [] : [telemetry.collector]),
    ],
  };
}

/** Requests to unknown addresses on one port: the hosts that services have there, and all others. */
export function unknownHostsTable(scope: Scope, port: number): BuiltTable {
  const taken = new Set<string>();
  const backends = new Map<string, Backend>();
  const virtualHosts: VirtualHost[] = [];
  for (const { key, service, port: servicePort } of hostedPorts(scope).get(port) ?? []) {
    if (servicePort.protocol === "TCP") continue;
    const domains = untaken(
      claimedHosts(key, service.hosts, scope.clientNamespace).flatMap((host) => [host, `${host}:${port}`]),
      taken,
    );
    if (domains.length === 0) continue;
    const built = serviceRoutes(scope, service, servicePort);
    for (const backend of built.backends) backends.set(backend.cluster, backend);
    virtualHosts.push({
      ...emptyScope,
      filterOverrides: hostOverrides(scope.reader, {
        service: key,
        port: servicePort,
        direction: "outbound",
        dialect: scope.dialect,
      }),
      name: `${key}:${port}`,
      domains,
      routes: built.routes,
      retry: undefined,
    });
  }
  virtualHosts.push(anyHost(meshConfigOf(scope.reader).outboundPolicy === "deny"));
  const table = { ...emptyScope, name: unknownHostsName(port), virtualHosts, onDemand: false };
  return { table, backends: [...backends.values()] };
}

/** Connections go on to where they were going, from one of `sourceAddresses` where there are any. */
export function originalDestinationCluster(name: string, sourceAddresses: readonly string[]): Cluster {
  return {
    name,
    altStatName: undefined,
    discovery: { kind: "originalDst" },
    connectTimeoutMs: 5000,
    ...(sourceAddresses.length === 0 ? {} : { sourceAddresses }),
    lb: { kind: "originalDst" },
    slowStart: undefined,
    panicThresholdPercent: 0,
    // Many destinations in one: none of them must be able to use up what the others need.
    limits: { ...limitDefaults, maxConnections: unlimited, maxPendingRequests: unlimited, maxRequests: unlimited },
    highPriorityLimits: { ...limitDefaults, maxConnections: unlimited, maxPendingRequests: unlimited },
    outlier: undefined,
    healthChecks: [],
    closeOnHealthFailure: false,
    tls: undefined,
    tlsMatches: [],
    http: { ...upstreamDefaults, protocol: "downstream" },
    perConnectionBufferLimitBytes: listenerBufferBytes,
    breaker: undefined,
    metadata: {},
  };
}

interface HostedPort {
  /** `namespace/name`. */
  readonly key: string;
  readonly service: RegistryService;
  readonly port: ServicePort;
}

/** Ports of services that are known by hosts of their own and have no address, by number; services of the client's namespace first, then by key. */
function hostedPorts({ reader, clientNamespace }: Scope): ReadonlyMap<number, readonly HostedPort[]> {
  const found = new Map<number, HostedPort[]>();
  for (const key of ownFirst(reader.get("names", "hosted") ?? [], clientNamespace)) {
    const service = reader.get("services", key);
    for (const port of service?.ports ?? []) {
      if (service === undefined) continue;
      const list = found.get(port.port);
      if (list === undefined) found.set(port.port, [{ key, service, port }]);
      else list.push({ key, service, port });
    }
  }
  return found;
}

/** TLS of the application's own is told by the server name that it asks for; a name of two services is the first one's. */
function opaqueHosts(
  hosted: readonly HostedPort[],
  clientNamespace: string,
): readonly { readonly key: string; readonly serverNames: readonly string[] }[] {
  const taken = new Set<string>();
  return hosted
    .filter(({ port }) => port.protocol === "TCP" || port.protocol === "AUTO")
    .map(({ key, service }) => ({
      key,
      serverNames: untaken(claimedHosts(key, service.hosts, clientNamespace), taken),
    }))
    .filter(({ serverNames }) => serverNames.length > 0);
}

function untaken(names: readonly string[], taken: Set<string>): readonly string[] {
  const found = [...new Set(names.map((name) => name.toLowerCase()))].filter((name) => !taken.has(name));
  for (const name of found) taken.add(name);
  return found;
}

function anyHost(isDenied: boolean): VirtualHost {
  const action: Route["action"] = isDenied
    ? {
        kind: "direct",
        status: 502,
        body: "no service of the mesh has this address or host, and MeshConfig says outboundPolicy: deny",
      }
    : { ...forwardDefaults, target: { kind: "cluster", name: passthroughName } };
  const name = isDenied ? "denied" : "passthrough";
  const route: Route = {
    ...emptyScope,
    name: `MeshConfig outboundPolicy (${name})`,
    match: anyRequest,
    action,
    metadata: {},
  };
  return { ...emptyScope, name, domains: ["*"], routes: [route], retry: undefined };
}

function httpChain(match: FilterChainMatch, http: HttpConnectionManager): FilterChain {
  return { ...anyChain, name: http.statPrefix, match, network: { kind: "http", http } };
}

/** A connection straight to the port was never redirected: sent on, it would come back for ever. */
function loopChain(
  { addresses }: Workload,
  destinationPort: number,
  loopback: Loopback,
  telemetry: TrafficTelemetry,
): FilterChain {
  const own = [loopback, ...addresses.filter((address) => isIPv6(address) === isIPv6(loopback))];
  const prefixRanges = own.map((address) => ({ address, prefixLength: isIPv6(address) ? 128 : 32 }));
  return {
    ...tcpChain(refusedClusters.loop, refusedClusters.loop, telemetry),
    match: { ...anyConnection, destinationPort, prefixRanges },
  };
}
