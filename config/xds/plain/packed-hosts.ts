// The virtual hosts of one route table in flat memory that all threads see: their bytes, where each lies, and whose each domain is.
// Whoever wants one host reads that one alone. Written once, by pack-route-table.ts, and never changed.
import type { RouteScope, VirtualHost } from "../../model/route.ts";
import { HASH_SEED, hashStep } from "./memo.ts";
import { tryReadPlainHost } from "./plain-host.ts";
import { PlainReader } from "./plain-reader.ts";

/** Plain data, to be given to other threads. */
export interface PackedHosts {
  /** The RouteConfiguration as it came. */
  readonly bytes: Uint8Array;
  /** Two numbers for each host: where it begins and ends in `bytes`. */
  readonly places: Int32Array;
  /** The exact domains, open addressing, a power of two of entries: where it begins in `bytes`, its length, the host's number plus one. */
  readonly slots: Int32Array;
  /** Hosts that are not plain, by their number. */
  readonly others: ReadonlyMap<number, VirtualHost>;
  /** Domains with a `*`, and the number of their host. */
  readonly wildcards: readonly (readonly [domain: string, host: number])[];
}

/** A route table as it goes to the workers. */
export interface SharedRouteTable extends RouteScope {
  readonly name: string;
  readonly onDemand: boolean;
  readonly packed: PackedHosts;
}

/** Numbers of a slot. */
export const SLOT = 3;

/** Finds hosts in packed ones, and reads them. */
export class HostReader {
  readonly #hosts: PackedHosts;
  #reader: PlainReader | undefined;

  constructor(hosts: PackedHosts) {
    this.#hosts = hosts;
  }

  get count(): number {
    return this.#hosts.places.length / 2;
  }

  /** The number of the host that has exactly this domain, whatever the case; -1: none. */
  find(domain: string): number {
    const { slots, bytes } = this.#hosts;
    const mask = slots.length / SLOT - 1;
    const { length } = domain;
    let hash = HASH_SEED;
    for (let i = 0; i < length; i++) hash = hashStep(hash, fold(domain.charCodeAt(i)));
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const host = slots[at * SLOT + 2] ?? 0;
      if (host === 0) return -1;
      if (slots[at * SLOT + 1] !== length) continue;
      const start = slots[at * SLOT] ?? 0;
      let same = 0;
      while (same < length && fold(bytes[start + same] ?? 0) === fold(domain.charCodeAt(same))) same++;
      if (same === length) return host - 1;
    }
  }

  /** Made anew at every call, unless it is not plain. */
  read(host: number): VirtualHost {
    const { others, places, bytes } = this.#hosts;
    const other = others.get(host);
    if (other !== undefined) return other;
    this.#reader ??= new PlainReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
    const read = tryReadPlainHost(this.#reader, places[host * 2] ?? 0, places[host * 2 + 1] ?? 0);
    if (read === undefined) throw new Error(`Cannot read virtual host ${host}: it was readable when it came`);
    return read;
  }
}

/** ASCII without case. */
export function fold(character: number): number {
  return character >= 0x41 && character <= 0x5a ? character | 0x20 : character;
}
