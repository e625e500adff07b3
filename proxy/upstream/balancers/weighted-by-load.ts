// Weighted by load: turns in proportion to the weights that endpoints earn by their load reports.
import type { LbPolicy } from "#config/model/cluster.ts";
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hostAt, type MakeBalancer } from "./balancer.ts";
import { EdfScheduler } from "./edf.ts";

type LoadSettings = Extract<LbPolicy, { kind: "weightedByLoad" }>;

export function weightedByLoad(settings: LoadSettings): MakeBalancer {
  return (hosts, context) => new WeightedByLoad(hosts, context, settings);
}

/** Weights are read anew every `updateMs`, at the pick that comes next. Whoever has none is given the median of the others, or 1. */
class WeightedByLoad implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #settings: LoadSettings;
  readonly #weights: Float64Array;
  #scheduler: EdfScheduler;
  #readAtMs: number;

  constructor(hosts: readonly EndpointState[], context: BalancerContext, settings: LoadSettings) {
    this.#hosts = hosts;
    this.#context = context;
    this.#settings = settings;
    this.#weights = new Float64Array(hosts.length);
    this.#readAtMs = context.clock.nowMs();
    this.#read(this.#readAtMs);
    this.#scheduler = this.#schedule();
  }

  pick(): EndpointState {
    const nowMs = this.#context.clock.nowMs();
    if (nowMs - this.#readAtMs >= this.#settings.updateMs) {
      this.#readAtMs = nowMs;
      // Deadlines that were set by other weights, perhaps of another magnitude, would starve some and prefer others.
      if (this.#read(nowMs)) this.#scheduler = this.#schedule();
    }
    return hostAt(this.#hosts, this.#scheduler.next());
  }

  #weightOf(index: number): number {
    return (this.#weights[index] ?? 1) * hostAt(this.#hosts, index).slowStartFactor(this.#context.clock.nowMs());
  }

  #schedule(): EdfScheduler {
    return new EdfScheduler(this.#hosts.length, this.#context.random, (index) => this.#weightOf(index));
  }

  /** True: a weight is another than before. */
  #read(nowMs: number): boolean {
    const weights = this.#hosts.map((host) => host.load.at(this.#settings, nowMs));
    const valid = weights.filter((weight) => weight !== undefined).toSorted((left, right) => left - right);
    const middle = valid.length >> 1;
    const upper = valid[middle] ?? 1;
    const median = valid.length % 2 === 0 ? ((valid[middle - 1] ?? upper) + upper) / 2 : upper;
    let isNew = false;
    for (const [i, weight] of weights.entries()) {
      isNew ||= this.#weights[i] !== (weight ?? median);
      this.#weights[i] = weight ?? median;
    }
    return isNew;
  }
}
