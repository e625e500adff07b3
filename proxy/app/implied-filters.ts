// Filters that a configuration means without naming them: Envoy's router retries and traces by itself, in Heddle filters do it. A
// chain that names them has its own settings for them.
import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";
import type { HttpConnectionManager } from "#config/model/listener.ts";
import { retryFilter } from "#filters/retry/filter.ts";
import { traceContextFilter } from "#filters/trace-context/filter.ts";

/** The chain's filters with those that are implied: tracing first, where `tracing` is set; retries last, as Envoy retries. */
export function withImpliedFilters(http: HttpConnectionManager): readonly FilterConfig[] {
  const { filters, tracing } = http;
  const first =
    tracing === undefined || isNamed(filters, traceContextFilter)
      ? []
      : [imply(traceContextFilter, { samplingPercent: tracing.randomSampling })];
  // Envoy looks at no method and repeats nothing without a policy.
  const last = isNamed(filters, retryFilter) ? [] : [imply(retryFilter, { safeOnly: false, unprocessedRetries: 0 })];
  return [...first, ...filters, ...last];
}

interface Named {
  readonly name: string;
  readonly typeUrls: readonly string[];
}

function isNamed(filters: readonly FilterConfig[], { typeUrls }: Named): boolean {
  return filters.some(({ typeUrl }) => typeUrls.includes(typeUrl));
}

function imply({ name, typeUrls }: Named, config: JsonValue): FilterConfig {
  return { name, typeUrl: typeUrls[0] ?? "", config, disabled: false, isOptional: false };
}
