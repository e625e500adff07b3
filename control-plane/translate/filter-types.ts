// The standard filters as generated chains name them, in the order of the chain (filters/standard.ts has the same).
import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";

const ours = "type.googleapis.com/heddle.filters";
const envoys = "type.googleapis.com/envoy.extensions.filters.http";

export const filterTypes = {
  tracing: { name: "heddle.tracing", typeUrl: `${ours}.trace_context.v1.TraceContext` },
  mtls: { name: "heddle.mtls", typeUrl: `${ours}.mtls.v1.Mtls` },
  routing: { name: "heddle.routing", typeUrl: `${ours}.routing.v1.Routing` },
  cors: {
    name: "envoy.filters.http.cors",
    typeUrl: "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors",
  },
  fallback: { name: "heddle.fallback", typeUrl: `${ours}.fallback.v1.Fallback` },
  fault: { name: "envoy.filters.http.fault", typeUrl: `${ours}.fault.v1.Faults` },
  overload: { name: "heddle.overload", typeUrl: `${ours}.overload.v1.Overload` },
  adaptiveConcurrency: {
    name: "envoy.filters.http.adaptive_concurrency",
    typeUrl: `${envoys}.adaptive_concurrency.v3.AdaptiveConcurrency`,
  },
  admissionControl: {
    name: "envoy.filters.http.admission_control",
    typeUrl: `${envoys}.admission_control.v3.AdmissionControl`,
  },
  bulkhead: { name: "heddle.bulkhead", typeUrl: `${ours}.bulkhead.v1.Bulkhead` },
  rateLimit: { name: "envoy.filters.http.local_ratelimit", typeUrl: `${ours}.rate_limit.v1.RateLimit` },
  session: {
    name: "envoy.filters.http.stateful_session",
    typeUrl: "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
  },
  globalRateLimit: { name: "envoy.filters.http.ratelimit", typeUrl: `${ours}.global_rate_limit.v1.RateLimit` },
  loadReport: { name: "heddle.load_report", typeUrl: `${ours}.load_report.v1.LoadReport` },
  circuitBreaker: { name: "heddle.circuit_breaker", typeUrl: `${ours}.circuit_breaker.v1.CircuitBreaker` },
  retry: { name: "heddle.retry", typeUrl: `${ours}.retry.v1.Retry` },
} as const;

/** Envoy's own message, for faults that it can say. */
export const envoyFaultType = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";

/** Envoy's own message, for limits that it can say. */
export const envoyRateLimitType = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

/** Envoy's own messages for limits of all proxies together: of the filter, and of hosts and routes. */
export const envoyGlobalRateLimitType = "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit";
export const envoyGlobalRateLimitPerRouteType =
  "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute";

/** One filter of a chain. Ours are optional, so that a real Envoy goes on without them. */
export function filterConfig(filter: keyof typeof filterTypes, config: JsonValue): FilterConfig {
  return { ...filterTypes[filter], config, disabled: false, isOptional: true };
}
