// Envoy's circuit breakers (limits of concurrency) and Heddle's breaker (share of failures), message <-> model.
import { create, type JsonObject } from "@bufbuild/protobuf";
import type { BreakerPolicy, CircuitLimits } from "../model/cluster.ts";
import type { JsonValue } from "../model/filter-config.ts";
import { given, unless } from "./fields.ts";
import {
  CircuitBreakers_ThresholdsSchema,
  type CircuitBreakers,
  type CircuitBreakers_Thresholds,
} from "./gen/envoy/config/cluster/v3/circuit_breaker_pb.ts";
import { RoutingPriority } from "./gen/envoy/config/core/v3/base_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy's: what an empty `circuit_breakers: {}` means, and none at all. */
const LIMIT_DEFAULTS: CircuitLimits = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: undefined,
};
const BUDGET_PERCENT = 20;
const BUDGET_MIN_CONCURRENCY = 3;

/** Of several thresholds for one priority the first holds, as in Envoy. */
export function limitsFromWire(wire: CircuitBreakers | undefined, priority: RoutingPriority): CircuitLimits {
  const found = wire?.thresholds.find((threshold) => threshold.priority === priority);
  if (found === undefined) return LIMIT_DEFAULTS;
  const budget = found.retryBudget;
  return {
    maxConnections: found.maxConnections ?? LIMIT_DEFAULTS.maxConnections,
    maxPendingRequests: found.maxPendingRequests ?? LIMIT_DEFAULTS.maxPendingRequests,
    maxRequests: found.maxRequests ?? LIMIT_DEFAULTS.maxRequests,
    maxRetries: found.maxRetries ?? LIMIT_DEFAULTS.maxRetries,
    retryBudget: budget && {
      percent: budget.budgetPercent?.value ?? BUDGET_PERCENT,
      minConcurrency: budget.minRetryConcurrency ?? BUDGET_MIN_CONCURRENCY,
    },
  };
}

/** Both priorities share connections and the queue for them: a limit of their own cannot be held. */
export function checkPriorities(wire: CircuitBreakers | undefined, scope: Scope): void {
  const limits = limitsFromWire(wire, RoutingPriority.DEFAULT);
  for (const [index, threshold] of (wire?.thresholds ?? []).entries()) {
    if (threshold.priority !== RoutingPriority.HIGH) continue;
    const at = scope.field("thresholds").at(index);
    const { maxConnections, maxPendingRequests } = threshold;
    if (maxConnections !== undefined && maxConnections !== limits.maxConnections)
      at.field("max_connections").unsupported("must be as for the default priority, which shares the connections");
    if (maxPendingRequests !== undefined && maxPendingRequests !== limits.maxPendingRequests)
      at.field("max_pending_requests").unsupported("must be as for the default priority, which shares the queue");
  }
}

/** Nothing where the limits are Envoy's. */
export function limitsToWire(model: CircuitLimits, priority: RoutingPriority): CircuitBreakers_Thresholds | undefined {
  const budget = model.retryBudget;
  const changed = {
    ...unless("maxConnections", model.maxConnections, LIMIT_DEFAULTS.maxConnections),
    ...unless("maxPendingRequests", model.maxPendingRequests, LIMIT_DEFAULTS.maxPendingRequests),
    ...unless("maxRequests", model.maxRequests, LIMIT_DEFAULTS.maxRequests),
    ...unless("maxRetries", model.maxRetries, LIMIT_DEFAULTS.maxRetries),
    ...given(
      "retryBudget",
      budget && { budgetPercent: { value: budget.percent }, minRetryConcurrency: budget.minConcurrency },
    ),
  };
  if (Object.keys(changed).length === 0) return undefined;
  return create(CircuitBreakers_ThresholdsSchema, { priority, ...changed });
}

/** Hystrix's (expectations.md). */
const BREAKER_DEFAULTS: BreakerPolicy = {
  volumeThreshold: 20,
  errorPercent: 50,
  windowMs: 10_000,
  sleepWindowMs: 5000,
};

/** `heddle.breaker`: the policy's own names; what is not said is Hystrix's default, what is not known is refused. */
export function breakerFromWire(struct: JsonObject | undefined, scope: Scope): BreakerPolicy | undefined {
  if (struct === undefined) return undefined;
  const { errorStatuses, per, ...numbers } = struct;
  if (per !== undefined && per !== "tenant") scope.field("per").invalid(`must be tenant: got ${JSON.stringify(per)}`);
  const policy: { -readonly [K in keyof BreakerPolicy]: BreakerPolicy[K] } = {
    ...BREAKER_DEFAULTS,
    ...(per === "tenant" ? { per } : {}),
  };
  for (const [name, value] of Object.entries(numbers)) {
    const at = scope.field(name);
    if (!Object.hasOwn(BREAKER_DEFAULTS, name)) at.unsupported("is not supported");
    else if (typeof value !== "number" || !(value > 0))
      at.invalid(`must be a number greater than 0: got ${JSON.stringify(value)}`);
    else Object.assign(policy, { [name]: value });
  }
  if (policy.errorPercent > 100) scope.field("errorPercent").invalid(`must be at most 100: got ${policy.errorPercent}`);
  if (errorStatuses === undefined) return policy;
  if (Array.isArray(errorStatuses) && errorStatuses.every(isStatus)) return { ...policy, errorStatuses };
  scope.field("errorStatuses").invalid(`must be a list of HTTP statuses: got ${JSON.stringify(errorStatuses)}`);
  return policy;
}

function isStatus(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 100 && value <= 599;
}

export function breakerToWire(model: BreakerPolicy): { readonly [name: string]: JsonValue } {
  return { ...model };
}
