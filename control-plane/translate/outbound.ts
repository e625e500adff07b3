// What a workload's application calls through its proxy: a listener on 127.0.0.1 for each port of a service that it uses.
import type { FilterConfig } from "#config/model/filter-config.ts";
import type { FilterChain, HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { RouteTable } from "#config/model/route.ts";
import type { Workload, WorkloadOutbound } from "../mesh/workload.ts";
import type { ServicePort } from "../registry/registry.ts";
import {
  anyConnection,
  anyRequest,
  detectionMs,
  emptyScope,
  forwardDefaults,
  listenerBufferBytes,
  managerDefaults,
  plainHttp,
} from "./defaults.ts";
import { filterConfig } from "./filter-types.ts";
import { serviceRoutes, type BuiltRoutes } from "./gateway-api/routes.ts";
import { httpProxyName, outboundListenerName, outboundName } from "./names.ts";
import { limitsOfPort, rateLimitFilter } from "./policy/rate-limit.ts";
import { telemetryFor, type TrafficTelemetry } from "./policy/telemetry.ts";
import { outboundTenants } from "./policy/tenants.ts";
import { isDividedTcp, treatmentOf } from "./cluster.ts";
import { findPort, wholeBackend, type Backend, type Scope } from "./scope.ts";

export interface BuiltTable {
  readonly table: RouteTable;
  readonly backends: BuiltRoutes["backends"];
}

export interface BuiltListener {
  readonly listener: Listener;
  /** The table that it asks for by RDS. */
  readonly table: string | undefined;
  /** Where opaque TCP goes. */
  readonly backends: readonly Backend[];
  readonly collector: TrafficTelemetry["collector"];
}

/** The listener names the service, whatever Host says: one virtual host for all (contracts.md, "Host against original destination"). */
export function outboundTable(scope: Scope, service: string, port: number | string): BuiltTable {
  const known = scope.reader.get("services", service);
  const found = findPort(known, port);
  const name = outboundName(service, found?.port ?? port);
  const built: BuiltRoutes =
    known === undefined || found === undefined
      ? { routes: [missingRoute(service, name)], backends: [] }
      : serviceRoutes(scope, known, found);
  const host = {
    ...emptyScope,
    name: `${service}:${found?.port ?? port}`,
    domains: ["*"],
    routes: built.routes,
    retry: undefined,
  };
  return { table: { ...emptyScope, name, virtualHosts: [host], onDemand: false }, backends: built.backends };
}

/** The service is not there: its cluster will not be found, which is 503 with the flag NC and a name to look for. */
function missingRoute(service: string, cluster: string): BuiltRoutes["routes"][number] {
  return {
    ...emptyScope,
    name: `Service ${service} (unknown)`,
    match: anyRequest,
    action: { ...forwardDefaults, target: { kind: "cluster", name: cluster } },
    metadata: {},
  };
}

export function outboundListener(scope: Scope, workload: Workload, outbound: WorkloadOutbound): BuiltListener {
  const service = scope.reader.get("services", outbound.service);
  const port = findPort(service, outbound.port);
  const target = outboundName(outbound.service, port?.port ?? outbound.port);
  const telemetry = telemetryFor(scope.reader, outbound.service, port, "outbound", ownerOf(workload));
  const name = outboundListenerName(outbound.service, port?.port ?? outbound.port, outbound.listen);
  const treatment = treatmentOf(scope, outbound.service, port);
  const backend = wholeBackend(outbound.service, port?.port ?? 0);
  // Names a cluster that does not exist: its connections are closed, never mixed among tenants (the status says so).
  const isDivided = isDividedTcp(scope, backend);
  const plain = { name: target, match: anyConnection, tls: undefined, handshakeTimeoutMs: 0 };
  const opaque: FilterChain = {
    ...plain,
    network: {
      kind: "tcp",
      tcp: {
        statPrefix: target,
        clusters: [{ name: isDivided ? `divided-by-tenants/${target}` : target, weight: 1 }],
        idleTimeoutMs: 3_600_000,
        maxConnectAttempts: 3,
        accessLogs: telemetry.accessLogs,
      },
    },
  };
  const http: FilterChain = {
    ...plain,
    network: {
      kind: "http",
      http: outboundManager(target, outboundFilters(scope, workload, outbound, port, telemetry), telemetry),
    },
  };
  return {
    listener:
      treatment === "detect"
        ? detectingListener(name, outbound.listen, http, opaque)
        : localListener(name, outbound.listen, treatment === "opaque" ? opaque : http),
    table: treatment === "opaque" ? undefined : target,
    backends: treatment === "http" || isDivided ? [] : [backend],
    collector: telemetry.collector,
  };
}

/** The name of a workload's spans: the first service that it belongs to, else its own. */
export function ownerOf(workload: Workload): string {
  return workload.inbound[0]?.service.split("/")[1] ?? workload.name;
}

/** For applications that use HTTP_PROXY: every service by its names. */
export function proxyListener(scope: Scope, workload: Workload, listen: number): BuiltListener {
  const telemetry = telemetryFor(scope.reader, `${workload.namespace}/`, undefined, "outbound", ownerOf(workload));
  const filters = [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    ...outboundTenants(scope.reader, workload, listen),
    // Off but for those virtual hosts that have limits (http-proxy.ts).
    ...rateLimitFilter([], true),
    filterConfig("circuitBreaker", {}),
    filterConfig("retry", {}),
  ];
  const http = outboundManager(httpProxyName, filters, telemetry);
  const chain: FilterChain = {
    name: httpProxyName,
    match: anyConnection,
    tls: undefined,
    handshakeTimeoutMs: 0,
    network: { kind: "http", http },
  };
  return {
    listener: localListener(httpProxyName, listen, chain),
    table: httpProxyName,
    backends: [],
    collector: telemetry.collector,
  };
}

function outboundFilters(
  scope: Scope,
  workload: Workload,
  outbound: WorkloadOutbound,
  port: ServicePort | undefined,
  telemetry: TrafficTelemetry,
): readonly FilterConfig[] {
  const { reader } = scope;
  const limits = port === undefined ? [] : limitsOfPort(reader, outbound.service, port, "outbound");
  const hasRouteLimits = (reader.get("routes", outbound.service) ?? []).some((route) => {
    const { namespace, name } = route.metadata;
    return reader.get("rateLimits", `${route.kind}/${namespace}/${name}`) !== undefined;
  });
  return [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    ...outboundTenants(reader, workload, outbound.listen),
    ...rateLimitFilter(limits, hasRouteLimits),
    filterConfig("circuitBreaker", {}),
    filterConfig("retry", {}),
  ];
}

function outboundManager(
  name: string,
  filters: readonly FilterConfig[],
  telemetry: TrafficTelemetry,
): HttpConnectionManager {
  return {
    ...managerDefaults,
    statPrefix: name,
    routes: { kind: "rds", name },
    filters,
    accessLogs: telemetry.accessLogs,
    tracing: telemetry.tracing,
    // The application has no certificate to tell of.
    forwardClientCert: "sanitize",
  };
}

function localListener(name: string, port: number, chain: FilterChain): Listener {
  return {
    name,
    address: { address: "127.0.0.1", port },
    direction: "outbound",
    bindToPort: true,
    useOriginalDst: false,
    inspectTls: false,
    inspectHttp: false,
    inspectTimeoutMs: 0,
    continueOnInspectTimeout: true,
    filterChains: [chain],
    defaultFilterChain: undefined,
    perConnectionBufferLimitBytes: listenerBufferBytes,
  };
}

/** HTTP where the first bytes are HTTP's; a server that speaks first is heard without a wait. */
function detectingListener(name: string, port: number, http: FilterChain, opaque: FilterChain): Listener {
  return {
    ...localListener(name, port, { ...http, match: plainHttp }),
    inspectTls: true,
    inspectHttp: true,
    inspectTimeoutMs: detectionMs,
    defaultFilterChain: { ...opaque, name: `${opaque.name}/opaque` },
  };
}
