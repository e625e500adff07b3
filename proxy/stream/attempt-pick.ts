// Which endpoint an attempt asks for.
import type { Endpoint } from "#config/model/endpoint.ts";
import type { Labels } from "#config/model/route.ts";
import type { Pick } from "#filters/filter.ts";
import type { PickedEndpoint, UpstreamCluster } from "#proxy/upstream/contract.ts";

import type { UpstreamAttempt } from "./attempt.ts";
import type { HttpExchange } from "./exchange.ts";

const NO_LABELS: Labels = {};
const NOBODY: readonly Endpoint[] = [];
const NO_HOSTS: readonly Labels[] = [];

/** What filters and cluster are asked; `isFirst`: nobody was asked at this cluster before. */
export function makePick(exchange: HttpExchange, upstream: UpstreamCluster, isFirst: boolean): Pick {
  return {
    cluster: upstream.config,
    endpoints: upstream,
    labels: subsetOf(exchange),
    hash: exchange.compiled?.hash(exchange.request, exchange),
    endpoint: undefined,
    isStrict: false,
    avoid: exchange.retry?.avoidPreviousHosts === false ? NOBODY : endpointsOf(exchange.attempts),
    omit: isFirst ? NO_HOSTS : (exchange.retry?.omitHosts ?? NO_HOSTS),
    isMirror: false,
  };
}

function subsetOf({ diversion, compiled, target }: HttpExchange): Labels {
  if (diversion !== undefined) return diversion.subset;
  const action = compiled?.config.action;
  const own = action?.kind === "forward" ? action.subset : NO_LABELS;
  const weighted = target?.weighted?.subset;
  return weighted === undefined ? own : { ...own, ...weighted };
}

function endpointsOf(attempts: readonly UpstreamAttempt[]): readonly Endpoint[] {
  if (attempts.length === 0) return NOBODY;
  return attempts.map(({ endpoint }) => endpoint).filter((endpoint) => endpoint !== undefined);
}

/** Why there was none, for people. */
export function describeNobody({ cluster, labels }: Pick, failure: string): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  const which = pairs.length === 0 ? "" : ` with ${pairs.join(", ")}`;
  return `the cluster ${cluster.name} has no healthy endpoint${which} (${failure})`;
}

/** For an attempt that found no endpoint. */
export const NO_ENDPOINT: PickedEndpoint = {
  endpoint: {
    address: "",
    port: 0,
    hostname: "",
    health: "unknown",
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" },
  },
  open: () => ({ cancel: () => undefined }),
  openTunnel: () => ({ cancel: () => undefined }),
  report: () => undefined,
  done: () => undefined,
};
