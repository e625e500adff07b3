// How an application's connections to one port of a service are treated, wherever they are accepted: as HTTP, or as opaque bytes.
import type { FilterConfig } from "#config/model/filter-config.ts";
import type { FilterChain, HttpConnectionManager, Listener, RouteSource } from "#config/model/listener.ts";
import type { Workload } from "../mesh/workload.ts";
import type { ServicePort } from "../registry/registry.ts";
import { isDividedTcp, treatmentOf, type Treatment } from "./cluster.ts";
import { anyConnection, detectionMs, listenerBufferBytes, managerDefaults, plainHttp } from "./defaults.ts";
import { filterConfig } from "./filter-types.ts";
import { dormantFilters, portFilters } from "./policy/policy-filters.ts";
import { telemetryFor, type TrafficTelemetry } from "./policy/telemetry.ts";
import { outboundTenants } from "./policy/tenants.ts";
import type { Backend, Scope } from "./scope.ts";

/** Whose connections they are. What captured traffic of equal clients is given is one and the same. */
export interface Client extends Pick<Workload, "id" | "namespace" | "serviceAccount"> {
  /** The name of its spans. */
  readonly owner: string;
  /** Where its connections are accepted. */
  readonly listen: number;
}

export interface OutboundChains {
  /** What a listener needs to choose between the two; one of them where there is nothing to choose. */
  readonly chains: Pick<
    Listener,
    "filterChains" | "defaultFilterChain" | "inspectTls" | "inspectHttp" | "inspectTimeoutMs"
  >;
  readonly treatment: Treatment;
  /** Where opaque bytes go, which no table of routes leads to. */
  readonly backends: readonly Backend[];
  readonly collector: TrafficTelemetry["collector"];
}

/** `service` is `namespace/name`; without a port nothing is known of it. `hosts`: its names, where it is told by its address. */
export function outboundChains(
  scope: Scope,
  client: Client,
  service: string,
  port: ServicePort | undefined,
  backend: Backend,
  routes: RouteSource,
  hosts?: readonly string[],
): OutboundChains {
  const { cluster } = backend;
  const telemetry = telemetryFor(scope.reader, service, port, "outbound", client.owner);
  const treatment = treatmentOf(scope, service, port);
  // Names a cluster that does not exist: its connections are closed, never mixed among tenants (the status says so).
  const isDivided = isDividedTcp(scope, backend);
  const opaque = tcpChain(cluster, isDivided ? `divided-by-tenants/${cluster}` : cluster, telemetry);
  const http: FilterChain = {
    name: cluster,
    ...anyChain,
    network: {
      kind: "http",
      http: {
        ...outboundManager(cluster, routes, outboundFilters(scope, client, service, port, telemetry), telemetry),
        ...(hosts === undefined || scope.dialect !== "heddle" ? {} : { hosts }),
      },
    },
  };
  return {
    chains:
      treatment === "detect"
        ? // HTTP where the first bytes are HTTP's; a server that speaks first is heard without a wait.
          {
            inspectTls: true,
            inspectHttp: true,
            inspectTimeoutMs: detectionMs,
            filterChains: [{ ...http, match: plainHttp }],
            defaultFilterChain: { ...opaque, name: `${cluster}/opaque` },
          }
        : {
            inspectTls: false,
            inspectHttp: false,
            inspectTimeoutMs: 0,
            filterChains: [treatment === "opaque" ? opaque : http],
            defaultFilterChain: undefined,
          },
    treatment,
    backends: treatment === "http" || isDivided ? [] : [backend],
    collector: telemetry.collector,
  };
}

/** What a chain for all connections has beside its name and filter. */
export const anyChain = { match: anyConnection, tls: undefined, handshakeTimeoutMs: 0 } as const;

/** Opaque bytes to a cluster. */
export function tcpChain(name: string, cluster: string, telemetry: Pick<TrafficTelemetry, "accessLogs">): FilterChain {
  return {
    name,
    ...anyChain,
    network: {
      kind: "tcp",
      tcp: {
        statPrefix: name,
        clusters: [{ name: cluster, weight: 1 }],
        idleTimeoutMs: 3_600_000,
        maxConnectAttempts: 3,
        accessLogs: telemetry.accessLogs,
      },
    },
  };
}

/** The name of a workload's spans: the first service that it belongs to, else its own. */
export function ownerOf(workload: Workload): string {
  return workload.inbound[0]?.service.split("/")[1] ?? workload.name;
}

export function clientOf(workload: Workload, listen: number): Client {
  const { id, namespace, serviceAccount } = workload;
  return { id, namespace, serviceAccount, owner: ownerOf(workload), listen };
}

/** The filters of HTTP where no one service is meant: limits are off but for virtual hosts that have some. */
export function anyServiceFilters(scope: Scope, client: Client, telemetry: TrafficTelemetry): readonly FilterConfig[] {
  return [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    ...outboundTenants(scope.reader, client, client.listen),
    ...dormantFilters(scope.reader),
    filterConfig("circuitBreaker", {}),
    filterConfig("retry", {}),
  ];
}

function outboundFilters(
  { reader }: Scope,
  client: Client,
  service: string,
  port: ServicePort | undefined,
  telemetry: TrafficTelemetry,
): readonly FilterConfig[] {
  return [
    filterConfig("tracing", { samplingPercent: telemetry.tracing?.randomSampling ?? 0 }),
    ...outboundTenants(reader, client, client.listen),
    ...(port === undefined ? [] : portFilters(reader, { service, port, direction: "outbound" }, client.namespace)),
    filterConfig("circuitBreaker", {}),
    filterConfig("retry", {}),
  ];
}

export function outboundManager(
  name: string,
  routes: RouteSource,
  filters: readonly FilterConfig[],
  telemetry: TrafficTelemetry,
): HttpConnectionManager {
  return {
    ...managerDefaults,
    statPrefix: name,
    routes,
    filters,
    accessLogs: telemetry.accessLogs,
    tracing: telemetry.tracing,
    // The application has no certificate to tell of.
    forwardClientCert: "sanitize",
  };
}

/** What all our listeners are alike in. */
export const usualListener = {
  bindToPort: true,
  useOriginalDst: false,
  continueOnInspectTimeout: true,
  perConnectionBufferLimitBytes: listenerBufferBytes,
} as const;
