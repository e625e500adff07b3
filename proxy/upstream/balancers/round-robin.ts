// Round robin: in turn; by weight when weights differ or an endpoint starts slowly.
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hasEvenWeights, hostAt, type MakeBalancer } from "./balancer.ts";
import { EdfScheduler } from "./edf.ts";

export const makeRoundRobin = ((hosts, context) =>
  hasEvenWeights(hosts, context.clock.nowMs())
    ? new Turns(hosts, context)
    : new WeightedTurns(hosts, context)) satisfies MakeBalancer;

class Turns implements Balancer {
  readonly #hosts: readonly EndpointState[];
  #next: number;

  constructor(hosts: readonly EndpointState[], { random }: BalancerContext) {
    this.#hosts = hosts;
    this.#next = Math.floor(random.next() * hosts.length);
  }

  pick(): EndpointState {
    const host = hostAt(this.#hosts, this.#next);
    this.#next = this.#next + 1 === this.#hosts.length ? 0 : this.#next + 1;
    return host;
  }
}

class WeightedTurns implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #scheduler: EdfScheduler;

  constructor(hosts: readonly EndpointState[], { clock, random }: BalancerContext) {
    this.#hosts = hosts;
    this.#scheduler = new EdfScheduler(hosts.length, random, (index) => hostAt(hosts, index).weightAt(clock.nowMs()));
  }

  pick(): EndpointState {
    return hostAt(this.#hosts, this.#scheduler.next());
  }
}
