// What a scrape reads of a data plane as it stands now.
import type { BreakerState } from "#filters/filter.ts";
import type { Breakers } from "#proxy/resilience/breakers.ts";
import type { SharedCells } from "#proxy/resilience/shared-cells.ts";
import type { Metrics } from "#proxy/telemetry/metrics.ts";
import type { ClusterSet } from "#proxy/upstream/contract.ts";

import type { Connections } from "./connections.ts";
import type { Overload } from "./overload.ts";

export interface PlaneState {
  readonly breakers: Breakers;
  readonly clusters: ClusterSet;
  readonly connections: Connections;
  readonly cells: SharedCells;
  readonly overload: Overload;
}

export function makePlaneGauges(metrics: Metrics, state: PlaneState): void {
  const { breakers, clusters, connections, cells, overload } = state;
  metrics.gauge(
    "heddle_breaker_state",
    "0 closed, 1 half-open, 2 open.",
    () => breakers.states().map(([cluster, state]) => [{ cluster }, breakerLevel(state)] as const),
    true,
  );
  metrics.gauge(
    "heddle_scoped_breaker_state",
    "Breakers of routes and tenants that are not closed: 1 half-open, 2 open.",
    () =>
      breakers
        .scopedStates()
        .filter(({ state }) => state !== "closed")
        .map(({ scope, key, state }) => [{ scope, key }, breakerLevel(state)] as const),
    true,
  );
  metrics.gauge("heddle_downstream_connections", "Open downstream connections.", () => [
    [{ kind: "http" }, connections.count("http")],
    [{ kind: "tcp" }, connections.count("tcp")],
  ]);
  metrics.gauge(
    "heddle_upstream_connections",
    "Open upstream connections by cluster.",
    () => clusters.snapshot().map(({ name, connections }) => [{ cluster: name }, connections] as const),
    true,
  );
  metrics.gauge(
    "heddle_ejected_endpoints",
    "Endpoints that outlier detection keeps out.",
    () =>
      clusters
        .snapshot()
        .map(
          ({ name, endpoints }) => [{ cluster: name }, endpoints.filter(({ isEjected }) => isEjected).length] as const,
        ),
    true,
  );
  metrics.gauge("heddle_reclaimed_places", "Places among clusters' limits that a dead data thread held.", () => [
    [{}, cells.reclaimed],
  ]);
  metrics.gauge("heddle_overload_refusals", "Requests that were refused for want of memory.", () => [
    [{}, overload.refused],
  ]);
}

function breakerLevel(state: BreakerState["state"]): number {
  return state === "open" ? 2 : state === "half-open" ? 1 : 0;
}
