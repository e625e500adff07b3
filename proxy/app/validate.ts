// Whether a resource would compile: asked on the main thread before a worker sees it, so that the control plane can be told no.
import type { RouteTable } from "#config/model/route.ts";
import { PackedRouteTable } from "#config/xds/plain/packed-route-table.ts";
import type { ResourceModel } from "#config/xds/resource.ts";
import { systemClock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import type { CompiledRouteTable } from "#proxy/route/route-table.ts";
import { compileRouteTable } from "#proxy/stream/compile-table.ts";
import { compileAccessLog } from "#proxy/telemetry/access-log.ts";
import { Metrics } from "#proxy/telemetry/metrics.ts";

import { FilterRuntime, type FilterRuntimeParts } from "./filter-runtime.ts";
import { compileTcpAccessLog } from "./tcp-access-log.ts";

/** A chain that is compiled only to see whether it can be: it counts and limits nothing. */
function makeDryRuntime(): FilterRuntime {
  const parts: FilterRuntimeParts = {
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    localCluster: "",
    metrics: new Metrics(),
    cells: (_key, count) => new Int32Array(count),
    shares: (_key, count) => ({ total: new Int32Array(count), own: new Int32Array(count) }),
    breakers: () => ({
      of: () => ({ state: "closed", retryAfterMs: 0, tryPass: () => "pass", report: () => undefined }),
    }),
    unary: () => () => undefined,
    system: () => ({ load1: 0, cpuPercent: 0, eventLoopDelayMs: 0 }),
    breaker: () => ({ state: "closed", retryAfterMs: 0, tryPass: () => "pass", report: () => undefined }),
  };
  return new FilterRuntime(parts, true);
}

/** The reason why not, or undefined. */
export function validateResource(resource: ResourceModel): string | undefined {
  const runtime = makeDryRuntime();
  try {
    if (resource.kind === "route") {
      compileTable(unprovenOf(resource.model), runtime);
    } else if (resource.kind === "listener") {
      const listener = resource.model;
      for (const { network } of [
        ...listener.filterChains,
        ...(listener.defaultFilterChain === undefined ? [] : [listener.defaultFilterChain]),
      ]) {
        if (network.kind === "tcp") {
          for (const log of network.tcp.accessLogs) compileTcpAccessLog(log);
          continue;
        }
        runtime.compile(listener, network.http.filters);
        for (const log of network.http.accessLogs) compileAccessLog(log);
        if (network.http.routes.kind === "inline") compileTable(network.http.routes.table, runtime);
      }
    }
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

/** Of a packed table, what the version before did not have and what may fail. */
function unprovenOf(table: RouteTable): RouteTable {
  return table instanceof PackedRouteTable ? { ...table.head, virtualHosts: table.unproven } : table;
}

function compileTable(table: RouteTable, runtime: FilterRuntime): CompiledRouteTable {
  return compileRouteTable(table, (override) => runtime.parseOverride(override));
}
