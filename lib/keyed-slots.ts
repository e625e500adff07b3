// Places for keys in one shared table of fixed size: what is kept for a key lies at the index that it is given here.
import { hashString } from "./hash.ts";

const SLOT_CELLS = 2;
const HASH = 0;
const USED_MS = 1;
const PROBES = 8;

/** Cells that a table for so many keys needs. */
export function keyedSlotCells(maxKeys: number): number {
  return maxKeys * SLOT_CELLS;
}

/**
 * A key is its 32-bit hash: two keys with the same one share a place (one in four billion pairs). Each key may have one of eight
 * places; when others have them all, the one that was not used for longest makes room, unless it is busy.
 */
export class KeyedSlots {
  readonly #cells: Int32Array;
  readonly #slots: number;
  readonly #isBusy: (slot: number) => boolean;
  readonly #onTaken: ((slot: number) => void) | undefined;

  /** `cells` has `keyedSlotCells(maxKeys)`, all zero at first. `onTaken` empties what another key left. */
  constructor(cells: Int32Array, isBusy: (slot: number) => boolean, onTaken?: (slot: number) => void) {
    this.#cells = cells;
    this.#slots = Math.floor(cells.length / SLOT_CELLS);
    this.#isBusy = isBusy;
    this.#onTaken = onTaken;
  }

  /** The key's place; -1 = all that it may have are busy with others. */
  slotOf(key: string, nowMs: number): number {
    const cells = this.#cells;
    const hash = hashString(key) | 0 || 1;
    const now = Math.floor(nowMs) | 0;
    const start = (hash >>> 0) % this.#slots;
    let victim = -1;
    let victimAge = -1;
    for (let i = 0; i < Math.min(PROBES, this.#slots); i++) {
      const slot = (start + i) % this.#slots;
      const owner = Atomics.load(cells, slot * SLOT_CELLS + HASH);
      if (owner === hash) {
        Atomics.store(cells, slot * SLOT_CELLS + USED_MS, now);
        return slot;
      }
      const age = owner === 0 ? Infinity : (now - Atomics.load(cells, slot * SLOT_CELLS + USED_MS)) >>> 0;
      if (age > victimAge && (owner === 0 || !this.#isBusy(slot))) {
        victim = slot;
        victimAge = age;
      }
    }
    if (victim === -1) return -1;
    const at = victim * SLOT_CELLS + HASH;
    const before = Atomics.load(cells, at);
    // Another thread may have come first: then the key looks again, and finds itself or another place.
    if (Atomics.compareExchange(cells, at, before, hash) !== before) return this.slotOf(key, nowMs);
    Atomics.store(cells, victim * SLOT_CELLS + USED_MS, now);
    if (before !== 0) this.#onTaken?.(victim);
    return victim;
  }
}
