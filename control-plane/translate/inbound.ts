// What reaches a workload's application through its proxy: a listener for the mesh on each port, and the application behind it.
import type { Cluster } from "#config/model/cluster.ts";
import type { FilterConfig } from "#config/model/filter-config.ts";
import type { FilterChain, HttpConnectionManager, Listener, NetworkFilter } from "#config/model/listener.ts";
import type { Route, RouteTable } from "#config/model/route.ts";
import type { DownstreamTls } from "#config/model/tls.ts";
import type { MtlsMode } from "#config/schema/peer-authentication.ts";
import type { Workload, WorkloadPort } from "../mesh/workload.ts";
import { meshRoots, ownCertificate } from "./cluster.ts";
import {
  anyConnection,
  anyRequest,
  emptyScope,
  forwardDefaults,
  limitDefaults,
  listenerBufferBytes,
  managerDefaults,
  upstreamDefaults,
} from "./defaults.ts";
import { filterConfig } from "./filter-types.ts";
import { matchesOf } from "./gateway-api/routes.ts";
import { compareRanks, type RankedMatch } from "./gateway-api/match.ts";
import { inboundName } from "./names.ts";
import { ownerOf } from "./outbound.ts";
import { mtlsMode } from "./policy/peer-authentication.ts";
import { limitsOfPort, limitsOfRule, rateLimitFilter, rateLimitOverride } from "./policy/rate-limit.ts";
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

export function inboundListener(scope: Scope, workload: Workload, port: WorkloadPort, meshPort: number): BuiltInbound {
  const name = inboundName(port.service, port.port.port);
  // An Envoy has no certificate from us, so nobody is told to call it with mutual TLS (endpoints.ts).
  const mode =
    scope.dialect === "heddle" ? mtlsMode(scope.reader, port.service, port.port, workload.labels) : "DISABLE";
  const isTcp = port.port.protocol === "TCP";
  const telemetry = telemetryFor(scope.reader, port.service, port.port, "inbound", ownerOf(workload));
  const manager = managerOf(scope, port, name, mode, telemetry);
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
  const isPermissive = mode === "PERMISSIVE";
  const chains: FilterChain[] = [];
  if (mode !== "DISABLE")
    chains.push({
      name: "mesh",
      match: isPermissive ? { ...anyConnection, transportProtocol: "tls" } : anyConnection,
      tls: meshTls,
      handshakeTimeoutMs: 10_000,
      network: http,
    });
  if (mode !== "STRICT")
    chains.push({
      name: "plaintext",
      match: isPermissive ? { ...anyConnection, transportProtocol: "raw_buffer" } : anyConnection,
      tls: undefined,
      handshakeTimeoutMs: 0,
      network: isTcp ? tcp : http,
    });
  return {
    listener: {
      name,
      address: { address: workload.address, port: meshPort },
      direction: "inbound",
      bindToPort: true,
      useOriginalDst: false,
      inspectTls: isPermissive,
      inspectHttp: false,
      // A client that waits for the server to speak first is no mesh peer: those send a ClientHello at once.
      inspectTimeoutMs: isPermissive ? (isTcp ? 200 : 10_000) : 0,
      continueOnInspectTimeout: true,
      filterChains: chains,
      defaultFilterChain: undefined,
      perConnectionBufferLimitBytes: listenerBufferBytes,
    },
    cluster: applicationCluster(name, workload.address, port),
    collector: telemetry.collector,
  };
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
  name: string,
  mode: MtlsMode,
  telemetry: TrafficTelemetry,
): HttpConnectionManager {
  const isTcp = port.port.protocol === "TCP";
  const routes = isTcp ? [] : limitedRoutes(scope, port, name);
  const table: RouteTable = {
    ...emptyScope,
    name,
    virtualHosts: [
      {
        ...emptyScope,
        name,
        domains: ["*"],
        routes: [...routes, applicationRoute(scope, port, name)],
        retry: undefined,
      },
    ],
    onDemand: false,
  };
  return {
    ...managerDefaults,
    statPrefix: name,
    routes: { kind: "inline", table },
    filters: inboundFilters(
      scope,
      port,
      mode,
      routes.some((route) => route.filterOverrides.length > 0),
      telemetry,
    ),
    // An opaque connection is one request here; it may be silent for as long as it likes.
    streamIdleTimeoutMs: isTcp ? 0 : managerDefaults.streamIdleTimeoutMs,
    upgrades: isTcp ? [tcpUpgrade] : managerDefaults.upgrades,
    accessLogs: telemetry.accessLogs,
    tracing: telemetry.tracing,
    forwardClientCert: mode === "DISABLE" ? "sanitize" : "sanitize_set",
  };
}

function inboundFilters(
  scope: Scope,
  port: WorkloadPort,
  mode: MtlsMode,
  hasRouteLimits: boolean,
  telemetry: TrafficTelemetry,
): readonly FilterConfig[] {
  const limits = limitsOfPort(scope.reader, port.service, port.port, "inbound");
  return [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    filterConfig("mtls", { mode, rule: `PeerAuthentication of ${port.service}:${port.port.port}` }),
    ...inboundTenants(scope.reader),
    ...rateLimitFilter(limits, hasRouteLimits),
    filterConfig("retry", {}),
  ];
}

function applicationRoute(scope: Scope, port: WorkloadPort, cluster: string): Route {
  const isTcp = port.port.protocol === "TCP";
  const blocks = trafficFor(scope.reader, { service: port.service, port: port.port });
  return {
    ...emptyScope,
    name: `Service ${port.service}`,
    match: isTcp ? { ...anyRequest, path: { kind: "connect" } } : anyRequest,
    action: {
      ...forwardDefaults,
      target: { kind: "cluster", name: cluster },
      // The caller's proxy holds the limits of time; this one only ends what the caller's would not.
      idleTimeoutMs: isTcp || blocks.timeouts?.idle === undefined ? undefined : 0,
      upgrades: isTcp ? [{ name: tcpUpgrade, enabled: true }] : [],
    },
    metadata: {},
  };
}

/** Rules of attached routes that have a limit of their own here; their requests go to the application as all others do. */
function limitedRoutes(scope: Scope, port: WorkloadPort, cluster: string): readonly Route[] {
  const inherited = limitsOfPort(scope.reader, port.service, port.port, "inbound");
  const found: { readonly match: RankedMatch; readonly route: Route }[] = [];
  let isLimited = false;
  for (const route of scope.reader.get("routes", port.service) ?? []) {
    const { namespace, name } = route.metadata;
    for (const [index, rule] of (route.spec.rules ?? [{}]).entries()) {
      const own = limitsOfRule(scope.reader, route, rule.name, "inbound");
      isLimited ||= own.length > 0;
      for (const match of matchesOf(route, rule)) {
        const made = { ...applicationRoute(scope, port, cluster), match: match.match };
        const label = `${route.kind} ${namespace}/${name} rule ${rule.name ?? index}`;
        found.push({ match, route: { ...made, name: label, filterOverrides: rateLimitOverride(own, inherited) } });
      }
    }
  }
  if (!isLimited) return [];
  return found.toSorted((left, right) => compareRanks(left.match.rank, right.match.rank)).map(({ route }) => route);
}

/** The application itself, on the workload's address; HTTP/2 where the port says so. */
function applicationCluster(name: string, address: string, port: WorkloadPort): Cluster {
  const { protocol } = port.port;
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
    http: { ...upstreamDefaults, protocol: protocol === "HTTP2" || protocol === "GRPC" ? "http2" : "http1" },
    perConnectionBufferLimitBytes: listenerBufferBytes,
    breaker: undefined,
    metadata: {},
  };
}

const unlimited = 4_294_967_295;
