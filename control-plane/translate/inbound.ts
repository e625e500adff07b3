// What reaches a workload's application through its proxy: a listener for the mesh on each port, and the application behind it.
import type { Cluster, HttpUpstreamOptions } from "#config/model/cluster.ts";
import type { FilterConfig } from "#config/model/filter-config.ts";
import type {
  FilterChain,
  FilterChainMatch,
  HttpConnectionManager,
  Listener,
  NetworkFilter,
} from "#config/model/listener.ts";
import type { HeaderMatcher } from "#config/model/matcher.ts";
import type { Route, RouteTable } from "#config/model/route.ts";
import type { DownstreamTls } from "#config/model/tls.ts";
import type { MtlsMode } from "#config/schema/peer-authentication.ts";
import type { Workload, WorkloadPort } from "../mesh/workload.ts";
import { meshRoots, ownCertificate, treatmentOf, type Treatment } from "./cluster.ts";
import {
  anyConnection,
  anyRequest,
  detectionMs,
  emptyScope,
  forwardDefaults,
  limitDefaults,
  listenerBufferBytes,
  managerDefaults,
  plainHttp,
  unlimited,
  upstreamDefaults,
} from "./defaults.ts";
import { filterConfig } from "./filter-types.ts";
import { attachedRoutes } from "./gateway-api/attach.ts";
import { matchesOf, onlySubset } from "./gateway-api/routes.ts";
import { compareMatches, type RankedMatch } from "./gateway-api/match.ts";
import { inboundName, meshServerName } from "./names.ts";
import { ownerOf } from "./outbound-chains.ts";
import { sharedMtlsMode } from "./policy/peer-authentication.ts";
import { portFilters, ruleOverrides, rulesOf } from "./policy/policy-filters.ts";
import { telemetryFor, type TrafficTelemetry } from "./policy/telemetry.ts";
import { inboundTenants } from "./policy/tenants.ts";
import { trafficFor } from "./policy/traffic.ts";
import type { Scope } from "./scope.ts";

export interface BuiltInbound {
  readonly listener: Listener;
  readonly cluster: Cluster;
  readonly collector: TrafficTelemetry["collector"];
}

/** Upgrade token of opaque bytes inside an extended CONNECT stream (contracts.md, "The mesh hop"). */
const tcpUpgrade = "heddle-tcp";

/** On a socket of its own, for the mesh and whoever else the policy lets in. */
export function inboundListener(scope: Scope, workload: Workload, port: WorkloadPort, meshPort: number): BuiltInbound {
  const name = inboundName(port.service, port.port.port);
  const serverNames = [meshServerName(port.service, port.port.port)];
  const { chains, collector } = inboundChains(scope, workload, port, name, serverNames);
  return {
    listener: {
      name,
      address: { address: workload.address, port: meshPort },
      direction: "inbound",
      bindToPort: true,
      useOriginalDst: false,
      ...chains,
      perConnectionBufferLimitBytes: listenerBufferBytes,
    },
    cluster: applicationCluster(name, workload.address, port),
    collector,
  };
}

export interface InboundParts {
  readonly chains: Pick<
    Listener,
    | "inspectTls"
    | "inspectHttp"
    | "inspectTimeoutMs"
    | "continueOnInspectTimeout"
    | "filterChains"
    | "defaultFilterChain"
  >;
  readonly collector: TrafficTelemetry["collector"];
}

/**
 * How connections to one port of the application are treated; they go to the cluster `name`. Where plaintext comes too, TLS may be
 * the application's own: the mesh's is known by the names that callers' proxies ask for,
 * and by the protocols that they offer where such names alone would not tell. `others` are the same port of other services.
 */
export function inboundChains(
  scope: Scope,
  workload: Workload,
  port: WorkloadPort,
  name: string,
  serverNames: readonly string[],
  applicationProtocols: readonly string[] = [],
  others: readonly WorkloadPort[] = [],
): InboundParts {
  // An Envoy has no certificate from us, so nobody is told to call it with mutual TLS (endpoints.ts).
  const mode = scope.dialect === "heddle" ? sharedMtlsMode(scope.reader, port, others, workload.labels) : "DISABLE";
  const treatment = treatmentOf(scope, port.service, port.port);
  const telemetry = telemetryFor(scope.reader, port.service, port.port, "inbound", ownerOf(workload));
  const manager = managerOf(scope, port, treatment, name, mode, telemetry);
  const http: NetworkFilter = { kind: "http", http: manager };
  const tcp: NetworkFilter = {
    kind: "tcp",
    tcp: {
      statPrefix: name,
      clusters: [{ name, weight: 1 }],
      idleTimeoutMs: 3_600_000,
      maxConnectAttempts: 1,
      accessLogs: telemetry.accessLogs,
    },
  };
  const plain = { tls: undefined, handshakeTimeoutMs: 0 };
  const plaintext: FilterChain = { ...plain, name: "plaintext", match: anyConnection, network: http };
  const opaque: FilterChain = { ...plain, name: "opaque", match: anyConnection, network: tcp };
  const mesh: FilterChain = {
    name: "mesh",
    match: anyConnection,
    tls: meshTls,
    handshakeTimeoutMs: 10_000,
    network: http,
  };
  const isPermissive = mode === "PERMISSIVE";
  const inspectsHttp = treatment === "detect" && mode !== "STRICT";
  const inspectTimeoutMs = inspectsHttp || treatment === "opaque" ? detectionMs : 10_000;
  const chains = chainsOf(mode, treatment, {
    mesh: isPermissive ? meshOnly(mesh, treatment, serverNames, applicationProtocols) : mesh,
    plaintext,
    opaque,
  });
  return {
    chains: {
      inspectTls: isPermissive || inspectsHttp,
      inspectHttp: inspectsHttp,
      inspectTimeoutMs: isPermissive || inspectsHttp ? inspectTimeoutMs : 0,
      continueOnInspectTimeout: true,
      ...chains,
    },
    collector: telemetry.collector,
  };
}

interface InboundChains {
  readonly mesh: FilterChain;
  readonly plaintext: FilterChain;
  readonly opaque: FilterChain;
}

function chainsOf(
  mode: MtlsMode,
  treatment: Treatment,
  { mesh, plaintext, opaque }: InboundChains,
): Pick<Listener, "filterChains" | "defaultFilterChain"> {
  const first = mode === "DISABLE" ? [] : [mesh];
  if (mode === "STRICT") return { filterChains: first, defaultFilterChain: undefined };
  switch (treatment) {
    case "http": {
      const match = mode === "PERMISSIVE" ? rawBytes : anyConnection;
      return { filterChains: [...first, { ...plaintext, match }], defaultFilterChain: undefined };
    }
    case "opaque":
      return { filterChains: first, defaultFilterChain: opaque };
    case "detect":
      return { filterChains: [...first, { ...plaintext, match: plainHttp }], defaultFilterChain: opaque };
    default:
      return treatment satisfies never;
  }
}

const rawBytes: FilterChainMatch = { ...anyConnection, transportProtocol: "raw_buffer" };

function meshOnly(
  mesh: FilterChain,
  treatment: Treatment,
  names: readonly string[],
  applicationProtocols: readonly string[],
): FilterChain {
  const serverNames = treatment === "http" ? [] : names;
  return { ...mesh, match: { ...anyConnection, transportProtocol: "tls", serverNames, applicationProtocols } };
}

const meshTls: DownstreamTls = {
  certificate: { kind: "sds", name: ownCertificate },
  validation: { roots: { kind: "sds", name: meshRoots }, subjectAltNames: [], acceptUntrusted: false },
  alpn: ["h2"],
  minVersion: "TLSv1.3",
  maxVersion: "TLSv1.3",
  cipherSuites: [],
  curves: [],
  requireClientCertificate: true,
  sessionTickets: true,
};

function managerOf(
  scope: Scope,
  port: WorkloadPort,
  treatment: Treatment,
  name: string,
  mode: MtlsMode,
  telemetry: TrafficTelemetry,
): HttpConnectionManager {
  const tunnel = treatment === "http" ? [] : [tunnelRoute(port, name)];
  const rest = applicationRoute(scope, port, name);
  const routes = treatment === "opaque" ? [] : [...governedRoutes(scope, port, rest), rest];
  const table: RouteTable = {
    ...emptyScope,
    name,
    virtualHosts: [
      {
        ...emptyScope,
        name,
        domains: ["*"],
        routes: [...tunnel, ...routes],
        retry: undefined,
      },
    ],
    onDemand: false,
  };
  return {
    ...managerDefaults,
    statPrefix: name,
    routes: { kind: "inline", table },
    filters: inboundFilters(scope, port, mode, telemetry),
    // An opaque connection is one request here; it may be silent for as long as it likes.
    streamIdleTimeoutMs: treatment === "opaque" ? 0 : managerDefaults.streamIdleTimeoutMs,
    upgrades: treatment === "opaque" ? [tcpUpgrade] : managerDefaults.upgrades,
    accessLogs: telemetry.accessLogs,
    tracing: telemetry.tracing,
    forwardClientCert: mode === "DISABLE" ? "sanitize" : "sanitize_set",
  };
}

function inboundFilters(
  scope: Scope,
  port: WorkloadPort,
  mode: MtlsMode,
  telemetry: TrafficTelemetry,
): readonly FilterConfig[] {
  return [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    filterConfig("mtls", { mode, rule: `PeerAuthentication of ${port.service}:${port.port.port}` }),
    ...inboundTenants(scope.reader),
    ...portFilters(scope.reader, { service: port.service, port: port.port, direction: "inbound" }, ""),
    filterConfig("retry", {}),
  ];
}

function applicationRoute(scope: Scope, port: WorkloadPort, cluster: string): Route {
  return {
    ...emptyScope,
    name: `Service ${port.service}`,
    match: anyRequest,
    action: {
      ...forwardDefaults,
      target: { kind: "cluster", name: cluster },
      // The caller's proxy holds the limits of time; this one only ends what the caller's would not.
      idleTimeoutMs: callersHaveIdle(scope, port) ? 0 : undefined,
    },
    metadata: {},
  };
}

/** Whether a policy says how long callers' requests may be silent: for the port, or for a route that leads here, of any namespace. */
function callersHaveIdle(scope: Scope, { service, port }: WorkloadPort): boolean {
  const { reader } = scope;
  if (trafficFor(reader, { service, port }).timeouts?.idle !== undefined) return true;
  const known = reader.get("services", service);
  return (reader.get("routes", service) ?? []).some((route) =>
    rulesOf(route).some((rule) => {
      const subset = known && onlySubset(scope, route, rule, known);
      return trafficFor(reader, { service, port, subset, route, rule: rule.name }).timeouts?.idle !== undefined;
    }),
  );
}

/** Opaque bytes of a peer: an extended CONNECT, as a WebSocket's is, which it must not be taken for. */
function tunnelRoute({ service, port }: WorkloadPort, cluster: string): Route {
  const isTunnel: HeaderMatcher = {
    name: ":protocol",
    match: { kind: "string", matcher: { kind: "exact", value: tcpUpgrade, ignoreCase: false } },
    invert: false,
    missingAsEmpty: false,
  };
  return {
    ...emptyScope,
    name: port.protocol === "TCP" ? `Service ${service}` : `Service ${service} (opaque)`,
    match: { ...anyRequest, path: { kind: "connect" }, headers: port.protocol === "TCP" ? [] : [isTunnel] },
    action: {
      ...forwardDefaults,
      target: { kind: "cluster", name: cluster },
      idleTimeoutMs: port.protocol === "TCP" ? undefined : 0,
      upgrades: [{ name: tcpUpgrade, enabled: true }],
    },
    metadata: {},
  };
}

/** Rules of attached routes that say something of their own here; their requests go to the application as all others do. */
function governedRoutes(scope: Scope, { service, port }: WorkloadPort, route: Route): readonly Route[] {
  const found: { readonly match: RankedMatch; readonly route: Route }[] = [];
  const known = scope.reader.get("services", service);
  // Routes of other namespaces are for their own clients alone: they must not say what happens here.
  const attached = known === undefined ? [] : attachedRoutes(scope.reader, known, port, known.namespace);
  for (const resource of attached) {
    const { namespace, name } = resource.metadata;
    for (const [index, rule] of rulesOf(resource).entries()) {
      const target = { service, port, direction: "inbound", route: resource, rule } as const;
      const filterOverrides = ruleOverrides(scope.reader, target);
      for (const match of matchesOf(resource, rule)) {
        const label = `${resource.kind} ${namespace}/${name} rule ${rule.name ?? index}`;
        found.push({ match, route: { ...route, match: match.match, name: label, filterOverrides } });
      }
    }
  }
  if (found.every((one) => one.route.filterOverrides.length === 0)) return [];
  return found.toSorted((left, right) => compareMatches(left.match, right.match)).map((one) => one.route);
}

/** The application itself, on the workload's address; HTTP/2 where the port says so, the caller's own HTTP where it says nothing. */
function applicationCluster(name: string, address: string, port: WorkloadPort): Cluster {
  const endpoint = {
    address,
    port: port.appPort,
    hostname: "",
    health: "unknown" as const,
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" as const },
  };
  return {
    name,
    altStatName: undefined,
    discovery: {
      kind: "static",
      assignment: {
        cluster: name,
        overprovisioningFactor: 140,
        localities: [{ region: "", zone: "", subZone: "", priority: 0, weight: 1, endpoints: [endpoint] }],
      },
    },
    connectTimeoutMs: 5000,
    lb: { kind: "roundRobin" },
    slowStart: undefined,
    panicThresholdPercent: 0,
    // The callers' limits protect the application; a second, equal one here would only hide which of them was hit.
    limits: { ...limitDefaults, maxConnections: unlimited, maxPendingRequests: unlimited, maxRequests: unlimited },
    highPriorityLimits: limitDefaults,
    outlier: undefined,
    healthChecks: [],
    closeOnHealthFailure: false,
    tls: undefined,
    tlsMatches: [],
    http: { ...upstreamDefaults, protocol: applicationProtocol(port) },
    perConnectionBufferLimitBytes: listenerBufferBytes,
    breaker: undefined,
    metadata: {},
  };
}

/** What the application speaks on a port. */
export function applicationProtocol({ port }: WorkloadPort): HttpUpstreamOptions["protocol"] {
  switch (port.protocol) {
    case "HTTP2":
    case "GRPC":
      return "http2";
    case "AUTO":
      return "downstream";
    case "HTTP":
    case "TCP":
      return "http1";
    default:
      return port.protocol satisfies never;
  }
}
