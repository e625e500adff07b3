// Ring hash and Maglev: the same key goes to the same endpoint, whichever proxy asks.
import { MaglevTable } from "#lib/maglev.ts";
import { HashRing, type RingHost } from "#lib/ring-hash.ts";
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hostAt, type MakeBalancer } from "./balancer.ts";

/** Envoy's defaults: 1024 and 8 M. */
export function ringHash(minimumRingSize: number, maximumRingSize: number): MakeBalancer {
  return (hosts, context) =>
    new Hashing(hosts, context, new HashRing(toRingHosts(hosts), minimumRingSize, maximumRingSize));
}

/** Envoy's default: 65537, a prime. */
export function maglev(tableSize: number): MakeBalancer {
  return (hosts, context) => new Hashing(hosts, context, new MaglevTable(toRingHosts(hosts), tableSize));
}

class Hashing implements Balancer {
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #table: HashRing | MaglevTable;

  constructor(hosts: readonly EndpointState[], context: BalancerContext, table: HashRing | MaglevTable) {
    this.#hosts = hosts;
    this.#context = context;
    this.#table = table;
  }

  /** A request without a hash goes anywhere. */
  pick(hash: number | undefined): EndpointState {
    const wanted = hash ?? Math.floor(this.#context.random.next() * 4294967296);
    return hostAt(this.#hosts, this.#table.lookup(wanted >>> 0));
  }
}

function toRingHosts(hosts: readonly EndpointState[]): readonly RingHost[] {
  return hosts.map((host) => ({ key: host.key, weight: Math.max(1, host.endpoint.weight) }));
}
