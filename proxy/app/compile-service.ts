// Compiles one HTTP connection manager of a listener into the service that its connections use.
import type { HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { TimerWheel } from "#lib/timer-wheel.ts";
import type { CompiledRouteTable } from "#proxy/route/route-table.ts";
import { compileRouteTable } from "#proxy/stream/compile-table.ts";
import { compileInternal } from "#proxy/stream/router-controls.ts";
import type { HttpService, LookUpHost } from "#proxy/stream/http-service.ts";
import type { ExchangeObserver } from "#proxy/stream/observer.ts";
import type { ReplayBudget } from "#proxy/stream/request-body.ts";
import { compileAccessLog } from "#proxy/telemetry/access-log.ts";
import type { ClusterSet } from "#proxy/upstream/contract.ts";

import type { FilterRuntime } from "./filter-runtime.ts";
import { withImpliedFilters } from "./implied-filters.ts";

export interface ServiceParts {
  readonly filters: FilterRuntime;
  readonly clusters: ClusterSet;
  readonly lookUpHost: LookUpHost | undefined;
  readonly routeTable: (name: string) => CompiledRouteTable | undefined;
  readonly clock: Clock;
  readonly timers: TimerWheel;
  readonly random: Random;
  readonly log: Log;
  readonly observer: ExchangeObserver;
  readonly replay: ReplayBudget;
  readonly proxyName: string;
  readonly version: () => string;
}

const PAUSE_TIMEOUT_MS = 10_000;

/** Throws with the reason when a filter, a route or a log format does not compile. */
export function compileService(listener: Listener, http: HttpConnectionManager, parts: ServiceParts): HttpService {
  const { chain, failureModes } = parts.filters.compile(listener, withImpliedFilters(http));
  for (const log of http.accessLogs) compileAccessLog(log);
  const source = http.routes;
  const inline =
    source.kind === "inline"
      ? compileRouteTable(source.table, (override) => parts.filters.parseOverride(override))
      : undefined;
  return {
    listener,
    config: http,
    chain,
    failureModes,
    isInternalAddress: compileInternal(http.internalAddresses),
    routes: source.kind === "inline" ? () => inline : () => parts.routeTable(source.name),
    lookUpHost: parts.lookUpHost,
    clusters: parts.clusters,
    clock: parts.clock,
    timers: parts.timers,
    random: parts.random,
    log: parts.log,
    observer: parts.observer,
    replay: parts.replay,
    proxyName: parts.proxyName,
    pauseTimeoutMs: PAUSE_TIMEOUT_MS,
    get version() {
      return parts.version();
    },
  };
}
