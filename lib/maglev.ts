// Maglev's lookup table (Eisenbud et al., NSDI 2016, §3.4): consistent hashing in one array access.
import { hashPair, hashString } from "./hash.ts";
import type { RingHost } from "./ring-hash.ts";

/** `size` must be a prime and should be a hundred times the number of hosts; Envoy's default is 65537. */
export class MaglevTable {
  readonly size: number;
  readonly #table: Int32Array;

  constructor(hosts: readonly RingHost[], size: number) {
    this.size = size;
    this.#table = new Int32Array(size).fill(-1);
    if (hosts.length > 0) this.#build(hosts);
  }

  /** The index of the host that a 32-bit hash belongs to; -1 on an empty table. */
  lookup(hash: number): number {
    return this.#table[hash % this.size] ?? -1;
  }

  /** Hosts take turns by weight; each takes its next preferred cell that is free. */
  #build(hosts: readonly RingHost[]): void {
    const { size } = this;
    const table = this.#table;
    const heaviest = hosts.reduce((most, host) => Math.max(most, host.weight), 0);
    const positions = new Float64Array(hosts.length);
    const skips = new Float64Array(hosts.length);
    const targets = new Float64Array(hosts.length);
    for (const [i, host] of hosts.entries()) {
      const base = hashString(host.key);
      positions[i] = hashPair(base, 0) % size;
      skips[i] = size > 1 ? (hashPair(base, 1) % (size - 1)) + 1 : 0;
    }
    for (let filled = 0, round = 1; filled < size; round++) {
      for (let i = 0; i < hosts.length && filled < size; i++) {
        // A host of half the heaviest weight takes a cell every second round.
        if (round * (hosts[i]?.weight ?? 0) < (targets[i] ?? 0)) continue;
        targets[i] = (targets[i] ?? 0) + heaviest;
        let cell = positions[i] ?? 0;
        const skip = skips[i] ?? 0;
        while (table[cell] !== -1) cell = (cell + skip) % size;
        table[cell] = i;
        positions[i] = (cell + skip) % size;
        filled++;
      }
    }
  }
}
