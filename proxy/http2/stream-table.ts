// The open streams of one connection by number: open addressing with linear probing, because a Map here kept garbage alive.
import type { Http2Stream } from "./stream.ts";

const SMALLEST = 16;

/**
 * A Map of V8 makes a new table every few dozen insertions, and each old table points to its successor and to the streams of its
 * time. Once one table is old, all that come after it survive the young collections: at 40,000 streams/s that was a quarter of the
 * processor and 100 MiB. This table changes in place.
 */
export class StreamTable {
  #slots: (Http2Stream | undefined)[] = [];
  #mask = -1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): Http2Stream | undefined {
    const slots = this.#slots;
    const mask = this.#mask;
    if (mask < 0) return undefined;
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return stream;
    }
  }

  /** The stream's number must not be in the table yet, and must not change while it is. */
  add(stream: Http2Stream): void {
    if (this.#size * 2 >= this.#slots.length) this.#grow();
    this.#size++;
    this.#put(stream);
  }

  delete(id: number): boolean {
    const slots = this.#slots;
    const mask = this.#mask;
    if (mask < 0) return false;
    let at = (id >>> 1) & mask;
    for (; ; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined) return false;
      if (stream.id === id) break;
    }
    this.#size--;
    // What was pushed past the hole moves back into it (Knuth, volume 3, 6.4, algorithm R), so that no search ends too early.
    let hole = at;
    for (let next = (at + 1) & mask; ; next = (next + 1) & mask) {
      const stream = slots[next];
      if (stream === undefined) break;
      const home = (stream.id >>> 1) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[hole] = stream;
      hole = next;
    }
    slots[hole] = undefined;
    return true;
  }

  /** The streams of this moment, oldest first: what the caller does to the table changes nothing in the answer. */
  all(): readonly Http2Stream[] {
    return this.#slots.filter((stream) => stream !== undefined).toSorted((one, other) => one.id - other.id);
  }

  clear(): void {
    this.#slots = [];
    this.#mask = -1;
    this.#size = 0;
  }

  #put(stream: Http2Stream): void {
    let at = (stream.id >>> 1) & this.#mask;
    while (this.#slots[at] !== undefined) at = (at + 1) & this.#mask;
    this.#slots[at] = stream;
  }

  #grow(): void {
    const before = this.#slots;
    const length = Math.max(SMALLEST, before.length * 2);
    this.#slots = Array.from({ length }, () => undefined);
    this.#mask = length - 1;
    for (const stream of before) if (stream !== undefined) this.#put(stream);
  }
}
