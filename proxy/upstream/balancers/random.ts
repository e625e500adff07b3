// Random: any of them, by weight.
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hasEvenWeights, hostAt, type MakeBalancer, pickAny } from "./balancer.ts";

export const makeRandomBalancer = ((hosts, context) =>
  hasEvenWeights(hosts, context.clock.nowMs())
    ? { pick: () => pickAny(hosts, context.random) }
    : new WeightedRandom(hosts, context)) satisfies MakeBalancer;

/** A binary search in the running sum of weights; slow start is taken as it was when the list was made. */
class WeightedRandom implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #sums: Float64Array;

  constructor(hosts: readonly EndpointState[], context: BalancerContext) {
    this.#hosts = hosts;
    this.#context = context;
    this.#sums = new Float64Array(hosts.length);
    const nowMs = context.clock.nowMs();
    let sum = 0;
    for (const [i, host] of hosts.entries()) this.#sums[i] = sum += host.weightAt(nowMs);
  }

  pick(): EndpointState {
    const sums = this.#sums;
    const wanted = this.#context.random.next() * (sums[sums.length - 1] ?? 0);
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sums[middle] ?? 0) > wanted) high = middle;
      else low = middle + 1;
    }
    return hostAt(this.#hosts, low);
  }
}
