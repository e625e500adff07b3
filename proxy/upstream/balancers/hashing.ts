// Ring hash and Maglev: the same key goes to the same endpoint, whichever proxy asks.
import type { HashingOptions } from "#config/model/cluster.ts";
import { hashPair } from "#lib/hash.ts";
import { MaglevTable } from "#lib/maglev.ts";
import { HashRing, type RingHost } from "#lib/ring-hash.ts";
import type { EndpointState } from "../endpoint-state.ts";
import { type Balancer, type BalancerContext, hostAt, type MakeBalancer } from "./balancer.ts";

const PLAIN: HashingOptions = { useHostname: false, balanceFactor: 0 };

/** Envoy's defaults: 1024 and 8 M. */
export function ringHash(minimumRingSize: number, maximumRingSize: number, options = PLAIN): MakeBalancer {
  return (hosts, context) =>
    hashing(hosts, context, new HashRing(toRingHosts(hosts, options), minimumRingSize, maximumRingSize), options);
}

/** Envoy's default: 65537, a prime. */
export function maglev(tableSize: number, options = PLAIN): MakeBalancer {
  return (hosts, context) => hashing(hosts, context, new MaglevTable(toRingHosts(hosts, options), tableSize), options);
}

function hashing(
  hosts: readonly EndpointState[],
  context: BalancerContext,
  table: HashRing | MaglevTable,
  { balanceFactor }: HashingOptions,
): Balancer {
  const plain = new Hashing(hosts, context, table);
  return balanceFactor === 0 ? plain : new BoundedHashing(plain, hosts, context, balanceFactor);
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

/**
 * Consistent hashing with bounded loads (Mirrokni et al., 2016), as Envoy's `hash_balance_factor`: an endpoint that has its share of the
 * running requests already passes the key on, to the first in an order of the key's own that has room, or the least loaded.
 */
class BoundedHashing implements Balancer {
  readonly #inner: Hashing;
  readonly #hosts: readonly EndpointState[];
  readonly #context: BalancerContext;
  readonly #factor: number;
  readonly #shares: Float64Array;

  constructor(inner: Hashing, hosts: readonly EndpointState[], context: BalancerContext, factor: number) {
    this.#inner = inner;
    this.#hosts = hosts;
    this.#context = context;
    this.#factor = factor;
    const total = hosts.reduce((sum, { endpoint }) => sum + Math.max(1, endpoint.weight), 0);
    this.#shares = Float64Array.from(hosts, ({ endpoint }) => Math.max(1, endpoint.weight) / total);
  }

  pick(hash: number | undefined): EndpointState {
    const wanted = hash ?? Math.floor(this.#context.random.next() * 4294967296);
    const first = this.#inner.pick(wanted);
    const hosts = this.#hosts;
    let running = 1;
    for (const { activeRequests } of hosts) running += activeRequests;
    const slots = Math.ceil((running * this.#factor) / 100);
    if (this.#fullness(first, hosts.indexOf(first), slots) < 1) return first;
    const order = Uint32Array.from(hosts.keys());
    let best = first;
    let least = Infinity;
    // Fisher and Yates, with the key's own chance.
    for (let i = 0; i < order.length; i++) {
      const at = i + (hashPair(wanted, i) % (order.length - i));
      const index = order[at] ?? 0;
      order[at] = order[i] ?? 0;
      const host = hostAt(hosts, index);
      const fullness = this.#fullness(host, index, slots);
      if (fullness < 1) return host;
      if (fullness < least) {
        least = fullness;
        best = host;
      }
    }
    return best;
  }

  /** Running requests over the room for them; from 1 on there is none. */
  #fullness(host: EndpointState, index: number, slots: number): number {
    return host.activeRequests / Math.max(1, Math.ceil(slots * (this.#shares[index] ?? 0)));
  }
}

/** `hash_key` of an endpoint's `envoy.lb` metadata says where it is placed, as in Envoy. */
function toRingHosts(hosts: readonly EndpointState[], { useHostname }: HashingOptions): readonly RingHost[] {
  return hosts.map(({ key, endpoint }) => {
    const name = useHostname && endpoint.hostname !== "" ? endpoint.hostname : key;
    return { key: endpoint.labels["hash_key"] ?? name, weight: Math.max(1, endpoint.weight) };
  });
}
