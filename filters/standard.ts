// The only list of all filters, in the order in which a chain of the mesh has them.
import type { FilterConfig } from "#config/model/filter-config.ts";
import { describeError } from "#lib/errors.ts";

import { adaptiveConcurrencyFilter } from "./adaptive-concurrency/filter.ts";
import { admissionControlFilter } from "./admission-control/filter.ts";
import { bulkheadFilter } from "./bulkhead/filter.ts";
import { circuitBreakerFilter } from "./circuit-breaker/filter.ts";
import { corsFilter } from "./cors/filter.ts";
import { fallbackFilter } from "./fallback/filter.ts";
import { faultFilter } from "./fault/filter.ts";
import type { FilterFactory } from "./filter.ts";
import { grpcJsonFilter } from "./grpc-json/filter.ts";
import { grpcWebFilter } from "./grpc-web/filter.ts";
import { loadReportFilter } from "./load-report/filter.ts";
import { localRateLimitFilter } from "./local-rate-limit/filter.ts";
import { mtlsFilter } from "./mtls/filter.ts";
import { FilterConfigError } from "./parse.ts";
import { rateLimitFilter } from "./rate-limit/filter.ts";
import { overloadFilter } from "./overload/filter.ts";
import { retryFilter } from "./retry/filter.ts";
import { routingFilter } from "./routing/filter.ts";
import { statefulSessionFilter } from "./stateful-session/filter.ts";
import { traceContextFilter } from "./trace-context/filter.ts";

type Tail<List extends readonly unknown[]> = List extends [unknown, ...infer Rest] ? Rest : never;

/** A factory whose configuration type is its own business. */
export type AnyFilterFactory = Omit<FilterFactory<unknown>, "make" | "check" | "bind"> & {
  check?(config: never): void;
  bind?(config: never, ...rest: Tail<Parameters<NonNullable<FilterFactory<unknown>["bind"]>>>): string | undefined;
  make(
    config: never,
    context: Parameters<FilterFactory<unknown>["make"]>[1],
  ): ReturnType<FilterFactory<unknown>["make"]>;
};

export const standardFilters: readonly AnyFilterFactory[] = [
  grpcWebFilter,
  grpcJsonFilter,
  traceContextFilter,
  mtlsFilter,
  routingFilter,
  corsFilter,
  fallbackFilter,
  faultFilter,
  overloadFilter,
  adaptiveConcurrencyFilter,
  admissionControlFilter,
  bulkheadFilter,
  localRateLimitFilter,
  rateLimitFilter,
  statefulSessionFilter,
  loadReportFilter,
  circuitBreakerFilter,
  retryFilter,
];

/** The factory that a type URL names. */
export function findFilter(typeUrl: string): AnyFilterFactory | undefined {
  return standardFilters.find((factory) => factory.typeUrls.includes(typeUrl));
}

/** The factory of the filters that have this name in a chain. */
export function findFilterByName(name: string): AnyFilterFactory | undefined {
  return standardFilters.find((factory) => factory.name === name);
}

/** Loads what `checkFilter` needs to see what only the making of a filter would show (descriptor sets). */
export async function loadFilterChecks(): Promise<void> {
  for (const factory of standardFilters) await factory.load?.();
}

/** What is wrong with a filter's configuration; undefined = nothing, as far as the code that is loaded can tell. */
export function checkFilter(
  filter: Pick<FilterConfig, "typeUrl" | "config">,
): { path: string; message: string } | undefined {
  const factory = findFilter(filter.typeUrl);
  try {
    const config = factory?.parse(filter.config, filter.typeUrl);
    factory?.check?.(config as never); // as: parsed by the same factory
    return undefined;
  } catch (error) {
    if (error instanceof FilterConfigError) return { path: error.path, message: error.reason };
    return { path: "", message: describeError(error) };
  }
}

/** All type URLs that this proxy knows. */
export const knownFilterTypes: ReadonlySet<string> = new Set(standardFilters.flatMap((factory) => factory.typeUrls));
