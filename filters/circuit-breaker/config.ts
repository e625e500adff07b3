// The configuration of the circuit-breaker filter: nothing, where the breakers are those of clusters, or a route's own.
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { JsonValue } from "#config/model/filter-config.ts";

import { ConfigReader } from "../parse.ts";

export const CIRCUIT_BREAKER = "type.googleapis.com/heddle.filters.circuit_breaker.v1.CircuitBreaker";

export interface CircuitBreakerConfig {
  /** Whose breaker it is, where there is a policy; also the name under which its state lives on through changes. */
  readonly rule: string;
  /** In the place of the clusters' own. */
  readonly policy: BreakerPolicy | undefined;
}

export function parseCircuitBreaker(value: JsonValue): CircuitBreakerConfig {
  const reader = new ConfigReader(value, "");
  const policy = reader.object("policy");
  const config = {
    rule: reader.string("rule", ""),
    policy: policy === undefined ? undefined : parsePolicy(policy),
  };
  reader.done();
  return config;
}

/** Defaults are Hystrix's. */
function parsePolicy(reader: ConfigReader): BreakerPolicy {
  const per = reader.value("per") === undefined ? {} : { per: reader.oneOf("per", ["tenant"], "tenant") };
  const errorStatuses =
    reader.value("errorStatuses") === undefined ? {} : { errorStatuses: reader.numbers("errorStatuses") };
  const policy = {
    volumeThreshold: reader.number("volumeThreshold", 20, 1),
    errorPercent: reader.number("errorPercent", 50, 1, 100),
    windowMs: reader.number("windowMs", 10_000, 1),
    sleepWindowMs: reader.number("sleepWindowMs", 5000, 1),
    ...errorStatuses,
    ...per,
  };
  reader.done();
  return policy;
}
