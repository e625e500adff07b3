// Places for keys in one shared table of fixed size: what is kept for a key lies at the index that it is given here.
import { hashString } from "./hash.ts";

const SLOT_CELLS = 2;
const HASH = 0;
const USED_MS = 1;
const PROBES = 8;
/** The last cell: 1 while a thread gives a place. */
const LOCK_CELLS = 1;
/** A lock is held for microseconds: whoever has it for longer, ms, has died with it. */
const LOCK_MS = 50;

/** Cells that a table for so many keys needs. */
export function keyedSlotCells(maxKeys: number): number {
  return maxKeys * SLOT_CELLS + LOCK_CELLS;
}

/**
 * A key is its 32-bit hash: two keys with the same one share a place (one in four billion pairs). Each key may have one of eight
 * places; when others have them all, the one that was not used for longest makes room, unless it is busy. A place is found without
 * a lock; one thread at a time gives places, so that a key never gets two.
 */
export class KeyedSlots {
  readonly #cells: Int32Array;
  readonly #slots: number;
  readonly #isBusy: (slot: number) => boolean;
  readonly #onTaken: ((slot: number) => void) | undefined;

  /** `cells` has `keyedSlotCells(maxKeys)`, all zero at first. `onTaken` empties what another key left. */
  constructor(cells: Int32Array, isBusy: (slot: number) => boolean, onTaken?: (slot: number) => void) {
    this.#cells = cells;
    this.#slots = Math.floor((cells.length - LOCK_CELLS) / SLOT_CELLS);
    this.#isBusy = isBusy;
    this.#onTaken = onTaken;
  }

  /** The key's place; -1 = all that it may have are busy with others. */
  slotOf(key: string, nowMs: number): number {
    const hash = hashString(key) | 0 || 1;
    const now = Math.floor(nowMs) | 0;
    const found = this.#find(hash, now);
    if (found !== -1) return found;
    this.#lock();
    try {
      // Another thread may have come first.
      const given = this.#find(hash, now);
      return given === -1 ? this.#give(hash, now) : given;
    } finally {
      this.#unlock();
    }
  }

  #find(hash: number, now: number): number {
    const cells = this.#cells;
    const start = (hash >>> 0) % this.#slots;
    for (let i = 0; i < Math.min(PROBES, this.#slots); i++) {
      const slot = (start + i) % this.#slots;
      if (Atomics.load(cells, slot * SLOT_CELLS + HASH) !== hash) continue;
      Atomics.store(cells, slot * SLOT_CELLS + USED_MS, now);
      return slot;
    }
    return -1;
  }

  #give(hash: number, now: number): number {
    const cells = this.#cells;
    const start = (hash >>> 0) % this.#slots;
    let victim = -1;
    let victimAge = -1;
    for (let i = 0; i < Math.min(PROBES, this.#slots); i++) {
      const slot = (start + i) % this.#slots;
      const isFree = Atomics.load(cells, slot * SLOT_CELLS + HASH) === 0;
      const age = isFree ? Infinity : (now - Atomics.load(cells, slot * SLOT_CELLS + USED_MS)) >>> 0;
      if (age > victimAge && (isFree || !this.#isBusy(slot))) {
        victim = slot;
        victimAge = age;
      }
    }
    if (victim === -1) return -1;
    Atomics.store(cells, victim * SLOT_CELLS + USED_MS, now);
    const before = Atomics.exchange(cells, victim * SLOT_CELLS + HASH, hash);
    if (before !== 0) this.#onTaken?.(victim);
    return victim;
  }

  #lock(): void {
    const cells = this.#cells;
    const at = cells.length - 1;
    for (let waitedMs = 0; Atomics.compareExchange(cells, at, 0, 1) !== 0 && waitedMs < LOCK_MS; waitedMs++)
      Atomics.wait(cells, at, 1, 1);
  }

  #unlock(): void {
    const at = this.#cells.length - 1;
    Atomics.store(this.#cells, at, 0);
    Atomics.notify(this.#cells, at, 1);
  }
}
