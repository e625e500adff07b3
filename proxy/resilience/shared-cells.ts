// Counters by name in one SharedArrayBuffer: every worker that holds the buffer finds the same cells under the same name.
import { hashString } from "#lib/hash.ts";

const DIRECTORY_SLOTS = 8192;
const SLOT_CELLS = 4;
const NEXT_FREE = 0;
const HEADER_CELLS = 2;
const CELLS_START = HEADER_CELLS + DIRECTORY_SLOTS * SLOT_CELLS;
const DEFAULT_CELLS = 65_536;

const EMPTY = 0;
const CLAIMED = 1;
const READY = 2;

/**
 * A directory of open addressing over 64-bit hashes of the names, claimed by compare-and-swap, and the cells behind it. Cells are
 * zero at first and never given back: names are those of clusters, breakers and buckets, which are few and come again. When
 * it is full, `cells` gives cells of this thread alone and `isFull` says so.
 */
export class SharedCells {
  readonly buffer: SharedArrayBuffer;
  isFull = false;
  readonly #all: Int32Array;
  readonly #known = new Map<string, Int32Array>();

  /** Without a buffer a new one is made (about 400 KiB, untouched pages cost nothing); hand `buffer` to the other workers. */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer((CELLS_START + DEFAULT_CELLS) * 4)) {
    this.buffer = buffer;
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

  #find(name: string, count: number): Int32Array {
    const all = this.#all;
    const low = hashString(name) | 0;
    const high = hashString(name, 0x5bd1e995) | 0;
    for (let probe = 0; probe < DIRECTORY_SLOTS; probe++) {
      const slot = HEADER_CELLS + (((low >>> 0) + probe) % DIRECTORY_SLOTS) * SLOT_CELLS;
      if (Atomics.compareExchange(all, slot, EMPTY, CLAIMED) === EMPTY) {
        const offset = Atomics.add(all, NEXT_FREE, count);
        const fits = offset + count <= all.length;
        all[slot + 1] = low;
        all[slot + 2] = high;
        // Offset and count in one cell each would need a fifth: the count is below 2^8 and the offset below 2^24.
        all[slot + 3] = fits ? (offset << 8) | count : 0;
        Atomics.store(all, slot, READY);
        return fits ? this.#view(offset, count) : this.#own(count);
      }
      // Another thread is between two stores: it takes nanoseconds.
      while (Atomics.load(all, slot) === CLAIMED);
      if (all[slot + 1] !== low || all[slot + 2] !== high) continue;
      const place = all[slot + 3] ?? 0;
      return place === 0 ? this.#own(count) : this.#view(place >>> 8, place & 0xff);
    }
    return this.#own(count);
  }

  #view(offset: number, count: number): Int32Array {
    return this.#all.subarray(offset, offset + count);
  }

  #own(count: number): Int32Array {
    this.isFull = true;
    return new Int32Array(new SharedArrayBuffer(count * 4));
  }
}
