// Counters by name in one SharedArrayBuffer: every worker that holds the buffer finds the same cells under the same name.
import type { SharedCounts } from "#filters/filter.ts";
import { hashString } from "#lib/hash.ts";

const DIRECTORY_SLOTS = 65_536;
/** State, two halves of the name's hash, offset, count. */
const SLOT_CELLS = 5;
const NEXT_FREE = 0;
const HEADER_CELLS = 2;
const CELLS_START = HEADER_CELLS + DIRECTORY_SLOTS * SLOT_CELLS;
/** Two tables (one for each of two definitions) of a million keyed buckets, and the limits of some thousand clusters and then some. */
const DEFAULT_CELLS = 16 * 1024 * 1024;

const EMPTY = 0;
const CLAIMED = 1;
const READY = 2;

/** What one worker holds of counters that all share. */
export type Shares = SharedCounts;

/**
 * A directory of open addressing over 64-bit hashes of the names, claimed by compare-and-swap, and the cells behind it. Cells are
 * zero at first and never given back: names are those of clusters, breakers and buckets, which are few and come again. When
 * it is full, `cells` gives cells of this thread alone and `isFull` says so.
 */
export class SharedCells {
  readonly buffer: SharedArrayBuffer;
  isFull = false;
  /** What dead workers held and this one gave back. */
  reclaimed = 0;
  readonly #all: Int32Array;
  readonly #known = new Map<string, Int32Array>();
  readonly #worker: number;

  /** Room for so many cells; pages that nobody touched cost nothing (65 MiB of addresses, 64 KiB of memory by default). */
  static makeBuffer(cells: number = DEFAULT_CELLS): SharedArrayBuffer {
    return new SharedArrayBuffer((CELLS_START + cells) * 4);
  }

  /** Hand `buffer` to the other workers; `worker` tells whose shares are whose, and a replacement takes its predecessor's number. */
  constructor(buffer: SharedArrayBuffer = SharedCells.makeBuffer(), worker = 0) {
    this.buffer = buffer;
    this.#worker = worker;
    this.#all = new Int32Array(buffer);
    Atomics.compareExchange(this.#all, NEXT_FREE, 0, CELLS_START);
  }

  /** The `count` cells of this name. The same name must always ask for the same count. */
  cells(name: string, count: number): Int32Array {
    const known = this.#known.get(name);
    const found = known ?? this.#find(name, count);
    if (found.length !== count)
      throw new RangeError(`Cannot share cells "${name}": it has ${found.length} of them, and ${count} were asked for`);
    if (known === undefined) this.#known.set(name, found);
    return found;
  }

  /**
   * Cells that count what runs now. Whatever a worker of the same number left in its own part died with it, and is taken from
   * the total when its successor first asks.
   */
  shares(name: string, count: number): Shares {
    const ownName = `${name}@${this.#worker}`;
    const isFirst = !this.#known.has(ownName);
    const total = this.cells(name, count);
    const own = this.cells(ownName, count);
    if (isFirst) this.#reclaim(total, own);
    return { total, own };
  }

  #reclaim(total: Int32Array, own: Int32Array): void {
    for (let i = 0; i < own.length; i++) {
      const left = Atomics.exchange(own, i, 0);
      if (left === 0) continue;
      Atomics.sub(total, i, left);
      this.reclaimed += left;
    }
  }

  #find(name: string, count: number): Int32Array {
    const all = this.#all;
    const low = hashString(name) | 0;
    const high = hashString(name, 0x5bd1e995) | 0;
    for (let probe = 0; probe < DIRECTORY_SLOTS; probe++) {
      const slot = HEADER_CELLS + (((low >>> 0) + probe) % DIRECTORY_SLOTS) * SLOT_CELLS;
      if (Atomics.compareExchange(all, slot, EMPTY, CLAIMED) === EMPTY) {
        const offset = this.#allocate(count);
        all[slot + 1] = low;
        all[slot + 2] = high;
        all[slot + 3] = offset;
        all[slot + 4] = count;
        Atomics.store(all, slot, READY);
        return offset === 0 ? this.#own(count) : all.subarray(offset, offset + count);
      }
      // Another thread is between two stores: it takes nanoseconds.
      while (Atomics.load(all, slot) === CLAIMED);
      if (all[slot + 1] !== low || all[slot + 2] !== high) continue;
      const offset = all[slot + 3] ?? 0;
      return offset === 0 ? this.#own(count) : all.subarray(offset, offset + (all[slot + 4] ?? 0));
    }
    return this.#own(count);
  }

  /** The offset of so many free cells; 0 = there are not so many. A table too large leaves the room to smaller ones. */
  #allocate(count: number): number {
    const all = this.#all;
    for (;;) {
      const offset = Atomics.load(all, NEXT_FREE);
      if (offset + count > all.length) return 0;
      if (Atomics.compareExchange(all, NEXT_FREE, offset, offset + count) === offset) return offset;
    }
  }

  #own(count: number): Int32Array {
    this.isFull = true;
    return new Int32Array(new SharedArrayBuffer(count * 4));
  }
}
