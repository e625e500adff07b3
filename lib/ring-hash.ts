// A consistent-hash ring (ketama): a key goes to the next point clockwise, so that losing a host moves only its own keys.
import { hashPair, hashString } from "./hash.ts";

export interface RingHost {
  /** What places it on the ring: the same name gives the same points. */
  readonly key: string;
  readonly weight: number;
}

/** Points sorted by hash; a lookup is a binary search. */
export class HashRing {
  readonly size: number;
  readonly #hashes: Uint32Array;
  readonly #hosts: Uint32Array;

  /**
   * At least `minimumSize` points (Envoy: 1024) and at most `maximumSize` (8 M); each host has points by its share of the weights.
   * The lightest host's number of points is a power of two, where Envoy takes the least that reaches the minimum: so a change in
   * the number of hosts rarely changes the number of points of those that stay, and moves only the keys of the one that went.
   */
  constructor(hosts: readonly RingHost[], minimumSize: number, maximumSize: number) {
    const total = hosts.reduce((sum, host) => sum + host.weight, 0);
    const lightest = hosts.reduce((least, host) => Math.min(least, host.weight), Infinity) / total;
    const points = 2 ** Math.max(0, Math.ceil(Math.log2(lightest * minimumSize)));
    const scale = total === 0 ? 0 : Math.min(points / lightest, maximumSize);
    const hashes: number[] = [];
    const owners: number[] = [];
    let target = 0;
    for (const [index, host] of hosts.entries()) {
      target += (host.weight / total) * scale;
      const base = hashString(host.key);
      for (let n = 0; hashes.length < Math.round(target); n++) {
        hashes.push(hashPair(base, n));
        owners.push(index);
      }
    }
    const order = Uint32Array.from(hashes.keys()).sort(
      (left, right) => (hashes[left] ?? 0) - (hashes[right] ?? 0) || left - right,
    );
    this.size = order.length;
    this.#hashes = Uint32Array.from(order, (at) => hashes[at] ?? 0);
    this.#hosts = Uint32Array.from(order, (at) => owners[at] ?? 0);
  }

  /** The index of the host that a 32-bit hash belongs to; -1 on an empty ring. */
  lookup(hash: number): number {
    const hashes = this.#hashes;
    if (hashes.length === 0) return -1;
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] ?? 0) < hash) low = middle + 1;
      else high = middle;
    }
    return this.#hosts[low === hashes.length ? 0 : low] ?? -1;
  }
}
