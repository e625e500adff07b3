// Makes a listener's filter chain: finds the factories, gives each filter what the contract promises.
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { FilterConfig, FilterOverride } from "#config/model/filter-config.ts";
import type { Listener } from "#config/model/listener.ts";
import { FilterChain } from "#filters/chain.ts";
import { dormant } from "#filters/dormant.ts";
import type { BreakerState, Exchange, Filter, FilterContext, SharedCounts } from "#filters/filter.ts";
import { findFilter, findFilterByName } from "#filters/standard.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { ParsedOverride } from "#proxy/route/route-table.ts";
import { HttpExchange } from "#proxy/stream/exchange.ts";
import { FilterGauges } from "#proxy/telemetry/filter-gauges.ts";
import type { Metrics } from "#proxy/telemetry/metrics.ts";

/** What outlives a chain. */
export interface FilterRuntimeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `node.cluster`. */
  readonly localCluster: string;
  readonly metrics: Metrics;
  readonly cells: (key: string, count: number) => Int32Array;
  readonly shares: (key: string, count: number) => SharedCounts;
  readonly breaker: (cluster: string, policy: BreakerPolicy) => BreakerState;
  readonly breakers: FilterContext["breakers"];
  readonly unary: FilterContext["unary"];
  readonly system: FilterContext["system"];
}

/** Loads the code of filters that is left out until a chain names them; call before `compile`. */
export async function loadFilters(listeners: readonly Listener[]): Promise<void> {
  for (const listener of listeners) {
    for (const chain of [...listener.filterChains, listener.defaultFilterChain]) {
      if (chain?.network.kind !== "http") continue;
      for (const { typeUrl } of chain.network.http.filters) await findFilter(typeUrl)?.load?.();
    }
  }
}

export interface CompiledChain {
  readonly chain: FilterChain;
  readonly failureModes: ReadonlyMap<string, "closed" | "open">;
}

/** Policies come and go by name: state of so many is kept beyond the filters that use it. */
const MAX_KEPT = 1024;

export class FilterRuntime {
  readonly #parts: FilterRuntimeParts;
  readonly #gauges: FilterGauges;
  readonly #kept = new Map<string, { readonly definition: string; readonly value: unknown }>();

  constructor(parts: FilterRuntimeParts, isDry = false) {
    this.#parts = parts;
    this.#gauges = new FilterGauges(parts.metrics);
    this.#isDry = isDry;
  }

  /** A listener is gone, and what its filters show with it. */
  forget(listener: string): void {
    this.#gauges.forget(listener);
  }

  /** Whether the filters only show that they can be made: those whose code is not loaded are left to the workers. */
  readonly #isDry: boolean;

  /** Throws with the filter's name when one is unknown (and not optional) or its configuration is wrong. */
  compile(listener: Listener, configs: readonly FilterConfig[]): CompiledChain {
    const filters: Filter[] = [];
    const failureModes = new Map<string, "closed" | "open">();
    for (const config of configs) {
      const factory = findFilter(config.typeUrl);
      if (factory === undefined) {
        if (config.isOptional) continue;
        throw new Error(`Cannot make the filter "${config.name}": ${config.typeUrl} is not known`);
      }
      // Without settings of routes nothing can turn it on.
      if (config.disabled && factory.perRoute !== "settings") continue;
      const parsed = describeFailure(config.name, () => factory.parse(config.config, config.typeUrl));
      if (this.#isDry && factory.load !== undefined) continue;
      const context = this.#contextFor(listener, config.name, filters.length);
      const filter = describeFailure(config.name, () => factory.make(parsed as never, context)); // as: parsed by the same factory
      filters.push(config.disabled ? dormant(filter) : filter);
      failureModes.set(config.name, factory.failureMode);
    }
    return { chain: new FilterChain(filters), failureModes };
  }

  /** What a route's override means to the filter. */
  parseOverride(override: FilterOverride): ParsedOverride {
    const { filter, typeUrl } = override;
    const factory = typeUrl === "" ? findFilterByName(filter) : findFilter(typeUrl);
    // A chain may give a filter another name; that it is off can be said to any.
    if (factory === undefined && typeUrl === "" && override.disabled) return { isDisabled: true, config: undefined };
    if (factory === undefined)
      throw new Error(`Cannot read the settings of filter "${filter}": ${typeUrl} is not known`);
    if (factory.perRoute === "nothing")
      throw new Error(`Cannot read the settings of filter "${override.filter}": a route has no say in it`);
    if (override.disabled) return { isDisabled: true, config: undefined };
    if (factory.perRoute === "off")
      throw new Error(`Cannot read the settings of filter "${override.filter}": a route may only turn it off`);
    const config = describeFailure(override.filter, () => factory.parse(override.config, override.typeUrl));
    return {
      isDisabled: false,
      config,
      inherit: factory.inherit?.bind(factory),
      bind: factory.bind?.bind(factory, config as never), // as: parsed by the same factory
    };
  }

  #contextFor(listener: Listener, name: string, index: number): FilterContext {
    const { metrics, ...parts } = this.#parts;
    const gauges = this.#gauges;
    const kept = this.#kept;
    return {
      ...parts,
      direction: listener.direction,
      listener: listener.name,
      name,
      slot: () => index,
      keep<T>(key: string, definition: string, make: () => T): T {
        const known = kept.get(key);
        // To the end of the map: what was asked for longest ago goes first.
        kept.delete(key);
        if (known?.definition === definition) {
          kept.set(key, known);
          return known.value as T; // as: the same key and definition made it
        }
        const value = make();
        kept.set(key, { definition, value });
        for (const oldest of kept.keys()) {
          if (kept.size <= MAX_KEPT) break;
          kept.delete(oldest);
        }
        return value;
      },
      tryRetry: (exchange: Exchange, isUnprocessed: boolean) =>
        exchange instanceof HttpExchange && exchange.tryHoldRetry(isUnprocessed),
      metrics: {
        counter: (name, help, labels) => metrics.counter(name, help, labels),
        gauge: (name, help, labels, read) => gauges.set(listener.name, name, help, labels, read),
      },
    };
  }
}

function describeFailure<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`Cannot read the configuration of filter "${name}": ${describeError(cause)}`, { cause });
  }
}
