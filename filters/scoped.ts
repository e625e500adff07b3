// What a filter keeps for its settings: those of the chain once, those of routes once for each cluster that they lead to.
import type { Exchange } from "./filter.ts";

/**
 * `make` is given a scope that is the same whenever the same listener, route settings and cluster come again, so that state under
 * it lives on through changes of configuration.
 */
export class Scoped<C extends object, S> {
  readonly #name: string;
  readonly #base: { readonly config: C; readonly state: S };
  readonly #make: (config: C, scope: string) => S;
  readonly #routes = new WeakMap<C, Map<string, S>>();

  /** `name` is the filter's in its chain, `listener` where the chain stands. */
  constructor(name: string, listener: string, base: C, make: (config: C, scope: string) => S) {
    this.#name = name;
    this.#make = make;
    this.#base = { config: base, state: make(base, listener) };
  }

  /** Undefined: a route turned the filter off. */
  of(exchange: Exchange): S | undefined {
    const override = exchange.override(this.#name);
    if (override === undefined) return this.#base.state;
    if (override.isDisabled) return undefined;
    return this.#forCluster(override.config as C, exchange.cluster?.name ?? ""); // as: the same factory's `parse` made it
  }

  #forCluster(config: C, cluster: string): S {
    let states = this.#routes.get(config);
    if (states === undefined) this.#routes.set(config, (states = new Map()));
    let state = states.get(cluster);
    if (state === undefined) states.set(cluster, (state = this.#make(config, `cluster/${cluster}`)));
    return state;
  }
}
