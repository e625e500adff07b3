// Many token buckets by key in one shared table of fixed size: exact among worker threads, bounded whatever the number of keys.
import { hashString } from "./hash.ts";
import { TOKEN_BUCKET_CELLS, TokenBucket, type TokenBucketSpec, type TokenVerdict } from "./token-bucket.ts";

const SLOT_CELLS = TOKEN_BUCKET_CELLS + 1;
const PROBES = 8;

/** Cells that a table for so many keys needs. */
export function keyedBucketCells(maxKeys: number): number {
  return maxKeys * SLOT_CELLS;
}

/**
 * A key is its 32-bit hash: two keys with the same hash share a bucket (with 10,000 keys at once, one in 430,000 pairs). A full
 * bucket is as good as none, so its slot may be taken by another key; when all eight slots that a key may use are busy, the one
 * that is nearest to full is taken over.
 */
export class KeyedBuckets {
  readonly #spec: TokenBucketSpec;
  readonly #cells: Int32Array;
  readonly #slots: number;
  readonly #buckets: (TokenBucket | undefined)[] = [];

  /** `cells` has `keyedBucketCells(maxKeys)`, all zero at first; over a SharedArrayBuffer when threads share it. */
  constructor(spec: TokenBucketSpec, cells: Int32Array) {
    this.#spec = spec;
    this.#cells = cells;
    this.#slots = Math.floor(cells.length / SLOT_CELLS);
  }

  tryTake(key: string, nowMs: number): TokenVerdict {
    return this.#bucketAt(this.#slotFor(key, nowMs)).tryTake(nowMs);
  }

  /** As `TokenBucket.giveBack`, where the key still has its bucket. */
  giveBack(key: string, nowMs: number): void {
    const hash = hashOf(key);
    const start = (hash >>> 0) % this.#slots;
    for (let i = 0; i < Math.min(PROBES, this.#slots); i++) {
      const slot = (start + i) % this.#slots;
      if (Atomics.load(this.#cells, slot * SLOT_CELLS) !== hash) continue;
      this.#bucketAt(slot).giveBack(nowMs);
      return;
    }
  }

  #slotFor(key: string, nowMs: number): number {
    const hash = hashOf(key);
    const start = (hash >>> 0) % this.#slots;
    let victim = start;
    let victimReset = Infinity;
    for (let i = 0; i < Math.min(PROBES, this.#slots); i++) {
      const slot = (start + i) % this.#slots;
      const owner = Atomics.load(this.#cells, slot * SLOT_CELLS);
      if (owner === hash) return slot;
      const resetMs = owner === 0 ? 0 : this.#bucketAt(slot).peek(nowMs).resetMs;
      if (resetMs < victimReset) {
        victim = slot;
        victimReset = resetMs;
      }
    }
    Atomics.store(this.#cells, victim * SLOT_CELLS, hash);
    if (victimReset > 0) this.#cells.fill(0, victim * SLOT_CELLS + 1, (victim + 1) * SLOT_CELLS);
    return victim;
  }

  #bucketAt(slot: number): TokenBucket {
    return (this.#buckets[slot] ??= new TokenBucket(this.#spec, this.#cells, slot * SLOT_CELLS + 1));
  }
}

/** Never 0, which is a slot without a key. */
function hashOf(key: string): number {
  return hashString(key) | 0 || 1;
}
