// The circuit-breaker filter: Hystrix's breaker (share of failures over a rolling window) in front of a cluster. opossum owns the
// state machine behind `context.breaker`; the policy is the cluster's (contracts.md: breakers).
import type { BreakerPolicy, Cluster } from "#config/model/cluster.ts";

import {
  ANSWERED,
  CONTINUE,
  type BreakerState,
  type Filter,
  type FilterContext,
  type FilterFactory,
} from "../filter.ts";
import { ConfigReader } from "../parse.ts";

export interface CircuitBreakerConfig {
  readonly rule: string;
}

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
  typeUrls: ["type.googleapis.com/heddle.filters.circuit_breaker.v1.CircuitBreaker"],
  failureMode: "open",
  perRoute: "off",
  parse(value) {
    const reader = new ConfigReader(value, "");
    const config = { rule: reader.string("rule", "") };
    reader.done();
    return config;
  },
  make(config, context) {
    return makeFilter(config, context);
  },
} satisfies FilterFactory<CircuitBreakerConfig>;

function makeFilter(config: CircuitBreakerConfig, context: FilterContext): Filter {
  const slot = context.slot();
  // A changed cluster is another object, so that a policy is compared once for each and not for each request.
  const breakers = new WeakMap<Cluster, BreakerState>();
  const breakerOf = (cluster: Cluster, policy: BreakerPolicy): BreakerState => {
    let breaker = breakers.get(cluster);
    if (breaker === undefined) breakers.set(cluster, (breaker = context.breaker(cluster.name, policy)));
    return breaker;
  };
  const refused = context.metrics.counter("heddle_breaker_refused_total", "Requests that an open breaker answered.", {
    listener: context.listener,
  });
  return {
    name: context.name,
    onPick(exchange, pick) {
      const policy = pick.cluster.breaker;
      if (policy === undefined || exchange.override(context.name)?.isDisabled === true) return CONTINUE;
      const breaker = breakerOf(pick.cluster, policy);
      if (pick.isMirror === true) return breaker.state === "closed" ? CONTINUE : ANSWERED;
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
        detail: `the circuit breaker of ${pick.cluster.name} is ${breaker.state}: at least ${policy.errorPercent} % of ${policy.volumeThreshold} or more requests failed`,
        rule: config.rule,
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
    onDone(exchange) {
      const state = exchange.slots[slot] as Slot | undefined; // as: only this filter writes its slot
      if (state === undefined || state.isReported) return;
      state.isReported = true;
      // The client went away before an answer: a probe must give its permit back; nothing is known of the upstream.
      if (state.permit === "probe") state.breaker.report("probe", false);
    },
  };
}
