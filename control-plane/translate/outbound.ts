// What a workload's application calls through its proxy: a listener on 127.0.0.1 for each port of a service that it uses.
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { RouteTable } from "#config/model/route.ts";
import type { Workload, WorkloadOutbound } from "../mesh/workload.ts";
import { anyRequest, emptyScope, forwardDefaults } from "./defaults.ts";
import { serviceRoutes, type BuiltRoutes } from "./gateway-api/routes.ts";
import { httpProxyName, outboundListenerName, outboundName } from "./names.ts";
import {
  anyChain,
  anyServiceFilters,
  clientOf,
  outboundChains,
  outboundManager,
  usualListener,
  type OutboundChains,
} from "./outbound-chains.ts";
import { telemetryFor, type TrafficTelemetry } from "./policy/telemetry.ts";
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
  const backend = { ...wholeBackend(outbound.service, port?.port ?? 0), cluster: target };
  const client = clientOf(workload, outbound.listen);
  const { chains, treatment, backends, collector } = outboundChains(scope, client, outbound.service, port, backend, {
    kind: "rds",
    name: target,
  });
  const name = outboundListenerName(outbound.service, port?.port ?? outbound.port, outbound.listen);
  return {
    listener: localListener(name, outbound.listen, chains),
    table: treatment === "opaque" ? undefined : target,
    backends,
    collector,
  };
}

/** For applications that use HTTP_PROXY: every service by its names. */
export function proxyListener(scope: Scope, workload: Workload, listen: number): BuiltListener {
  const client = clientOf(workload, listen);
  const telemetry = telemetryFor(scope.reader, `${workload.namespace}/`, undefined, "outbound", client.owner);
  const filters = anyServiceFilters(scope, client, telemetry);
  const routes = { kind: "rds", name: httpProxyName } as const;
  const chain: FilterChain = {
    name: httpProxyName,
    ...anyChain,
    network: { kind: "http", http: outboundManager(httpProxyName, routes, filters, telemetry) },
  };
  return {
    listener: localListener(httpProxyName, listen, {
      inspectTls: false,
      inspectHttp: false,
      inspectTimeoutMs: 0,
      filterChains: [chain],
      defaultFilterChain: undefined,
    }),
    table: httpProxyName,
    backends: [],
    collector: telemetry.collector,
  };
}

function localListener(name: string, port: number, chains: OutboundChains["chains"]): Listener {
  return { name, address: { address: "127.0.0.1", port }, direction: "outbound", ...usualListener, ...chains };
}
