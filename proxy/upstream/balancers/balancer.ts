// The contract of balancers: one of these endpoints, in constant or logarithmic time.
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import type { EndpointState } from "../endpoint-state.ts";

/**
 * Made for a fixed list of at least one endpoint, all of which may be used, and made anew when the list changes. What must
 * outlive that (active requests, latencies, slow start) is in the endpoints.
 */
export interface Balancer {
  /** `hash`: 32 bits, unsigned; undefined = none was asked for. Others than hashing balancers ignore it. */
  pick(hash: number | undefined): EndpointState;
}

export interface BalancerContext {
  readonly clock: Clock;
  readonly random: Random;
}

export type MakeBalancer = (hosts: readonly EndpointState[], context: BalancerContext) => Balancer;

/** Equal weights and no slow start: the cheap paths hold. */
export function hasEvenWeights(hosts: readonly EndpointState[], nowMs: number): boolean {
  const first = hosts[0]?.endpoint.weight;
  return hosts.every((host) => host.endpoint.weight === first && !host.isStartingSlowly(nowMs));
}

/** A uniformly chosen place in a list that is not empty. */
export function pickAny(hosts: readonly EndpointState[], random: Random): EndpointState {
  return hostAt(hosts, Math.floor(random.next() * hosts.length));
}

export function hostAt(hosts: readonly EndpointState[], index: number): EndpointState {
  const host = hosts[index];
  if (host === undefined) throw new RangeError(`Cannot pick endpoint ${index} of ${hosts.length}`);
  return host;
}
