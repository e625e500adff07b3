// The circuit-breaker filter: Hystrix's breaker (share of failures over a rolling window) in front of a cluster. opossum owns the
// state machine behind `context.breaker`; the policy is the cluster's (contracts.md: breakers).
import type { BreakerPolicy, Cluster } from "#config/model/cluster.ts";

import {
  ANSWERED,
  CONTINUE,
  type BreakerState,
  type Exchange,
  type Filter,
  type FilterContext,
  type FilterFactory,
} from "../filter.ts";
import { CIRCUIT_BREAKER, parseCircuitBreaker, type CircuitBreakerConfig } from "./config.ts";

interface Slot {
  readonly breaker: BreakerState;
  readonly permit: "pass" | "probe";
  readonly policy: BreakerPolicy;
  isReported: boolean;
}

const DEFAULT_ERRORS: readonly number[] = [500, 502, 503, 504];
/** gRPC codes that speak of the server rather than of the request: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const GRPC_ERRORS: readonly number[] = [2, 4, 13, 14, 15];

export const circuitBreakerFilter = {
  name: "heddle.circuit_breaker",
  typeUrls: [CIRCUIT_BREAKER],
  failureMode: "open",
  perRoute: "settings",
  parse: parseCircuitBreaker,
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<CircuitBreakerConfig>;

/** A breaker, or one for each tenant. */
interface Breakers {
  readonly policy: BreakerPolicy;
  /** Whose they are: a cluster, or a route. */
  readonly name: string;
  readonly one: BreakerState | undefined;
  readonly byTenant: { of(key: string): BreakerState } | undefined;
}

function makeFilter(base: CircuitBreakerConfig, context: FilterContext): Filter {
  const slot = context.slot();
  // A changed cluster or route is another object, so that a policy is compared once for each and not for each request.
  const ofClusters = new WeakMap<Cluster, Breakers>();
  const ofRoutes = new WeakMap<CircuitBreakerConfig, Breakers>();
  const clusterBreakers = (cluster: Cluster, policy: BreakerPolicy): Breakers => {
    let breakers = ofClusters.get(cluster);
    if (breakers === undefined) ofClusters.set(cluster, (breakers = makeBreakers(cluster.name, policy, true, context)));
    return breakers;
  };
  const routeBreakers = (config: CircuitBreakerConfig, policy: BreakerPolicy): Breakers => {
    let breakers = ofRoutes.get(config);
    if (breakers === undefined) ofRoutes.set(config, (breakers = makeBreakers(config.rule, policy, false, context)));
    return breakers;
  };
  const breakersOf = (exchange: Exchange, cluster: Cluster): Breakers | undefined => {
    const override = exchange.override(context.name);
    if (override?.isDisabled === true) return undefined;
    const config = override === undefined ? base : (override.config as CircuitBreakerConfig); // as: parse made it
    if (config.policy !== undefined && !exchange.isDiverted) return routeBreakers(config, config.policy);
    return cluster.breaker === undefined ? undefined : clusterBreakers(cluster, cluster.breaker);
  };
  /**
   * No attempt ended. A probe must give its permit back, and who waited in vain for as long as a stream may last or be silent has
   * seen a failure; else nothing is known of the upstream.
   */
  const settle = (exchange: Exchange): void => {
    const state = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
    if (state === undefined || state.isReported) return;
    state.isReported = true;
    const isTimeout = exchange.localReply?.status === 504;
    if (state.permit === "probe" || isTimeout) state.breaker.report(state.permit, false);
  };
  const refused = context.metrics.counter("heddle_breaker_refused_total", "Requests that an open breaker answered.", {
    listener: context.listener,
  });
  return {
    name: context.name,
    onPick(exchange, pick) {
      const breakers = breakersOf(exchange, pick.cluster);
      if (breakers === undefined) return CONTINUE;
      if (exchange.isDiverted) settle(exchange);
      const { policy, byTenant } = breakers;
      const tenant = byTenant === undefined ? "" : String(exchange.notes.get("tenant") ?? "");
      const breaker = breakers.one ?? byTenant?.of(tenant);
      if (breaker === undefined) return CONTINUE;
      if (pick.isMirror === true) return breaker.state === "closed" ? CONTINUE : ANSWERED;
      const before = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
      // Another attempt of a request that has been let through, or was counted.
      if (before?.breaker === breaker && (!before.isReported || breaker.state === "closed")) return CONTINUE;
      const permit = breaker.tryPass();
      if (permit !== "refused") {
        exchange.slots[slot] = { breaker, permit, policy, isReported: false } satisfies Slot;
        return CONTINUE;
      }
      refused.add(1);
      const seconds = Math.max(1, Math.ceil(breaker.retryAfterMs / 1000));
      exchange.answer({
        status: 503,
        flag: "UO",
        code: "breaker_open",
        proxyStatus: "destination_unavailable",
        detail: `the circuit breaker of ${breakers.name}${tenant === "" ? "" : ` for tenant ${tenant}`} is ${breaker.state}: at least ${policy.errorPercent} % of ${policy.volumeThreshold} or more requests failed`,
        rule: breakers.name,
        headers: [["retry-after", String(seconds)]],
      });
      return ANSWERED;
    },
    onAttemptEnd(exchange, attempt) {
      const state = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
      if (state === undefined || state.isReported || attempt.outcome === undefined) return undefined;
      state.isReported = true;
      const outcome = attempt.outcome;
      const errors = state.policy.errorStatuses ?? DEFAULT_ERRORS;
      const isSuccess =
        outcome.kind === "response" &&
        !errors.includes(outcome.status) &&
        (outcome.grpcStatus === undefined || !GRPC_ERRORS.includes(outcome.grpcStatus));
      state.breaker.report(state.permit, isSuccess);
      return undefined;
    },
    onDone: settle,
  };
}

function makeBreakers(name: string, policy: BreakerPolicy, isCluster: boolean, context: FilterContext): Breakers {
  if (policy.per === "tenant") return { policy, name, one: undefined, byTenant: context.breakers(name, policy) };
  return {
    policy,
    name,
    one: isCluster ? context.breaker(name, policy) : context.breakers(name, policy).of(""),
    byTenant: undefined,
  };
}
