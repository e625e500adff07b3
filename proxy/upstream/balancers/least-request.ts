// Least request: the one with the fewest running requests of a few drawn at random ("power of two choices").
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hasEvenWeights, hostAt, type MakeBalancer, pickAny } from "./balancer.ts";
import { EdfScheduler } from "./edf.ts";

/** `choiceCount` Infinity looks at all; 2 and `activeRequestBias` 1 are Envoy's defaults; with differing weights it takes turns by weight / (active + 1)^bias. */
export function leastRequest(choiceCount: number, activeRequestBias: number): MakeBalancer {
  return (hosts, context) =>
    hasEvenWeights(hosts, context.clock.nowMs())
      ? choiceCount === Infinity
        ? new FewestOfAll(hosts, context)
        : new FewestOf(hosts, context, choiceCount)
      : new WeightedLeast(hosts, context, activeRequestBias);
}

class FewestOf implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #choiceCount: number;

  constructor(hosts: readonly EndpointState[], context: BalancerContext, choiceCount: number) {
    this.#hosts = hosts;
    this.#context = context;
    this.#choiceCount = Math.max(1, choiceCount);
  }

  pick(): EndpointState {
    let best = pickAny(this.#hosts, this.#context.random);
    for (let i = 1; i < this.#choiceCount; i++) {
      const other = pickAny(this.#hosts, this.#context.random);
      if (other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }
}

/** Begins anywhere, so that among equals none is preferred. */
class FewestOfAll implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;

  constructor(hosts: readonly EndpointState[], context: BalancerContext) {
    this.#hosts = hosts;
    this.#context = context;
  }

  pick(): EndpointState {
    const { length } = this.#hosts;
    const start = Math.floor(this.#context.random.next() * length);
    let best = hostAt(this.#hosts, start);
    for (let i = 1; i < length; i++) {
      const other = hostAt(this.#hosts, (start + i) % length);
      if (other.activeRequests < best.activeRequests) best = other;
    }
    return best;
  }
}

class WeightedLeast implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #scheduler: EdfScheduler;

  constructor(hosts: readonly EndpointState[], { clock, random }: BalancerContext, bias: number) {
    this.#hosts = hosts;
    this.#scheduler = new EdfScheduler(hosts.length, random, (index) => {
      const host = hostAt(hosts, index);
      const weight = host.weightAt(clock.nowMs());
      if (bias === 0) return weight;
      return bias === 1 ? weight / (host.activeRequests + 1) : weight / (host.activeRequests + 1) ** bias;
    });
  }

  pick(): EndpointState {
    return hostAt(this.#hosts, this.#scheduler.next());
  }
}
