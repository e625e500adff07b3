// Peak EWMA: of two drawn at random the one that will probably answer sooner: estimated latency times running requests.
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, type MakeBalancer, pickAny } from "./balancer.ts";

/** An endpoint that asked for quiet with `Retry-After` is taken only when both did. */
const QUIET_PENALTY_MS = 300_000;

/** Linkerd's defaults: decay 10 s, initial round trip 30 ms. Weights divide the cost. */
export function peakEwmaBalancer(decayMs: number, initialRttMs: number): MakeBalancer {
  return (hosts, context) => new PeakEwma(hosts, context, decayMs, initialRttMs);
}

class PeakEwma implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #decayMs: number;
  readonly #initialMs: number;

  constructor(hosts: readonly EndpointState[], context: BalancerContext, decayMs: number, initialMs: number) {
    this.#hosts = hosts;
    this.#context = context;
    this.#decayMs = decayMs;
    this.#initialMs = initialMs;
  }

  pick(): EndpointState {
    const { clock, random } = this.#context;
    const one = pickAny(this.#hosts, random);
    if (this.#hosts.length === 1) return one;
    const two = pickAny(this.#hosts, random);
    if (one === two) return one;
    const nowMs = clock.nowMs();
    return this.#cost(one, nowMs) <= this.#cost(two, nowMs) ? one : two;
  }

  #cost(host: EndpointState, nowMs: number): number {
    const latency = host.latencyAt(nowMs, this.#decayMs, this.#initialMs);
    const quiet = host.quietUntilMs > nowMs ? QUIET_PENALTY_MS : 0;
    return ((latency + quiet) * (host.activeRequests + 1)) / host.weightAt(nowMs);
  }
}
