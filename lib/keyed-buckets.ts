// Many token buckets by key in one shared table of fixed size: exact among worker threads, bounded whatever the number of keys.
import { hashString } from "./hash.ts";
import { TOKEN_BUCKET_CELLS, TokenBucket, type TokenBucketSpec, type TokenVerdict } from "./token-bucket.ts";

/** Two halves of the key's hash, and the bucket. */
const SLOT_CELLS = 2 + TOKEN_BUCKET_CELLS;
/** A key may lie in two groups of so many slots. */
const GROUP = 8;
/** Up to so many keys all slots are one group. */
const SMALL = 64;
const HASH_SEED = 0x5bd1e995;

const EMPTY = 0;
const CLAIMED = 1;
/** Another thread is between two stores, which takes nanoseconds, or ms when it has no processor; one that died there must not hold us up. */
const MAX_SPINS = 100_000;

/** Cells that a table for so many keys needs. */
export function keyedBucketCells(maxKeys: number): number {
  return slotsFor(maxKeys) * SLOT_CELLS;
}

/** A quarter more than keys: so that two groups of eight nearly always have room for all of them. */
function slotsFor(maxKeys: number): number {
  return maxKeys <= SMALL ? maxKeys : Math.ceil((maxKeys * 1.25) / GROUP) * GROUP;
}

/**
 * A key is 64 bits of hash. It lies in one of two groups of eight slots, chosen by the two halves, where there is more room. When
 * both are taken, a bucket that is full again makes room, since it is as good as none; else the one that was unused for longest.
 */
export class KeyedBuckets {
  readonly #cells: Int32Array;
  readonly #slots: number;
  readonly #group: number;
  readonly #groups: number;
  /** Moved from slot to slot. */
  readonly #bucket: TokenBucket;
  #before: KeyedBuckets | undefined = undefined;
  #beforeUntilMs = 0;

  /** `cells` has `keyedBucketCells(maxKeys)`, all zero at first; over a SharedArrayBuffer when threads share it. */
  constructor(spec: TokenBucketSpec, cells: Int32Array) {
    this.#cells = cells;
    this.#slots = Math.floor(cells.length / SLOT_CELLS);
    this.#group = this.#slots <= SMALL ? this.#slots : GROUP;
    this.#groups = this.#slots / this.#group;
    this.#bucket = new TokenBucket(spec, cells);
  }

  /** Takes the place of this table: until its buckets would all be full, a key that comes first finds its bucket as empty as there. */
  succeed(before: KeyedBuckets, nowMs: number): void {
    const { maxTokens, tokensPerFill, fillIntervalMs } = before.#bucket.spec;
    before.#before = undefined;
    this.#before = before;
    this.#beforeUntilMs = nowMs + (maxTokens * fillIntervalMs) / tokensPerFill;
  }

  tryTake(key: string, nowMs: number, tokens = 1): TokenVerdict {
    const low = lowHash(key);
    const high = highHash(key);
    return this.#at(this.#find(low, high) ?? this.#claim(low, high, nowMs)).tryTake(nowMs, tokens);
  }

  /** As `TokenBucket.giveBack`, where the key still has its bucket. */
  giveBack(key: string, nowMs: number, tokens = 1): void {
    const slot = this.#find(lowHash(key), highHash(key));
    if (slot !== undefined) this.#at(slot).giveBack(nowMs, tokens);
  }

  /** Ms until the key's bucket is full again; 0 when it has none. */
  resetMs(key: string, nowMs: number): number {
    const slot = this.#find(lowHash(key), highHash(key));
    return slot === undefined ? 0 : this.#at(slot).peek(nowMs).resetMs;
  }

  /** The slot that has this key. */
  #find(low: number, high: number): number | undefined {
    return this.#findIn(this.#firstGroup(low), low, high) ?? this.#findIn(this.#secondGroup(high), low, high);
  }

  #findIn(start: number, low: number, high: number): number | undefined {
    for (let slot = start; slot < start + this.#group; slot++) {
      const at = slot * SLOT_CELLS;
      if (Atomics.load(this.#cells, at) === low && Atomics.load(this.#cells, at + 1) === high) return slot;
    }
    return undefined;
  }

  #claim(low: number, high: number, nowMs: number): number {
    const cells = this.#cells;
    for (let spins = 0; ; spins++) {
      // Another thread may be at work for the same key; it is done soon, unless it died there.
      const other = this.#claimed(low, high);
      const slot = other ?? this.#victim(low, high, nowMs);
      const at = slot * SLOT_CELLS;
      const owner = Atomics.load(cells, at);
      const found = this.#find(low, high);
      if (found !== undefined) return found;
      if ((other !== undefined || owner === CLAIMED) && spins < MAX_SPINS) continue;
      // Given to a key since it was chosen as an empty one.
      if (other === undefined && owner !== EMPTY && this.#hasRoom(low, high)) continue;
      if (Atomics.compareExchange(cells, at, owner, CLAIMED) !== owner) continue;
      // It may have claimed another slot at the same time: of two at least one sees the other, and steps back. A key with two
      // buckets would have more tokens than its one.
      const isAlone = spins >= MAX_SPINS || this.#claimed(low, high, slot) === undefined;
      const quicker = isAlone ? this.#find(low, high) : undefined;
      if (!isAlone || quicker !== undefined) {
        Atomics.store(cells, at, owner);
        if (quicker !== undefined) return quicker;
        continue;
      }
      Atomics.store(cells, at + 1, high);
      cells.fill(0, at + 2, at + SLOT_CELLS);
      this.#inherit(slot, low, high, nowMs);
      Atomics.store(cells, at, low);
      return slot;
    }
  }

  /** One of the two groups' slots, but for ours, that a thread has claimed and not yet given to a key. */
  #claimed(low: number, high: number, ours = -1): number | undefined {
    return this.#claimedIn(this.#firstGroup(low), ours) ?? this.#claimedIn(this.#secondGroup(high), ours);
  }

  #claimedIn(start: number, ours: number): number | undefined {
    for (let slot = start; slot < start + this.#group; slot++)
      if (slot !== ours && Atomics.load(this.#cells, slot * SLOT_CELLS) === CLAIMED) return slot;
    return undefined;
  }

  /** Of the two groups' slots the one to take: an empty one of the group that has more of them, else by fill and idleness. */
  #victim(low: number, high: number, nowMs: number): number {
    const first = this.#firstGroup(low);
    const second = this.#secondGroup(high);
    const inFirst = this.#room(first);
    const inSecond = this.#room(second);
    if (inFirst > 0 || inSecond > 0) return this.#emptyIn(inFirst >= inSecond ? first : second);
    return this.#leastUsed(first, second, nowMs);
  }

  #hasRoom(low: number, high: number): boolean {
    return this.#room(this.#firstGroup(low)) > 0 || this.#room(this.#secondGroup(high)) > 0;
  }

  #room(start: number): number {
    let room = 0;
    for (let slot = start; slot < start + this.#group; slot++)
      if (Atomics.load(this.#cells, slot * SLOT_CELLS) === EMPTY) room++;
    return room;
  }

  #emptyIn(start: number): number {
    for (let slot = start; slot < start + this.#group; slot++)
      if (Atomics.load(this.#cells, slot * SLOT_CELLS) === EMPTY) return slot;
    return start;
  }

  /** Of two groups that are taken: the first bucket that is full, else the one that was unused for longest, or is less empty. */
  #leastUsed(first: number, second: number, nowMs: number): number {
    const group = this.#group;
    let least = first;
    let leastIdleMs = -1;
    let leastEmpty = 1;
    for (let i = 0; i < (first === second ? group : 2 * group); i++) {
      const slot = i < group ? first + i : second + i - group;
      const bucket = this.#at(slot);
      const empty = bucket.emptiness(nowMs);
      if (empty === 0) return slot;
      const idleMs = bucket.idleMs(nowMs);
      if (idleMs < leastIdleMs || (idleMs === leastIdleMs && empty >= leastEmpty)) continue;
      least = slot;
      leastIdleMs = idleMs;
      leastEmpty = empty;
    }
    return least;
  }

  /** Only of a slot that this thread has claimed. */
  #inherit(slot: number, low: number, high: number, nowMs: number): void {
    const before = this.#before;
    if (before === undefined) return;
    if (nowMs >= this.#beforeUntilMs) {
      this.#before = undefined;
      return;
    }
    const found = before.#find(low, high);
    if (found !== undefined) this.#at(slot).drainTo(before.#at(found).emptiness(nowMs), nowMs);
  }

  #firstGroup(low: number): number {
    return ((low >>> 0) % this.#groups) * this.#group;
  }

  #secondGroup(high: number): number {
    return ((high >>> 0) % this.#groups) * this.#group;
  }

  #at(slot: number): TokenBucket {
    return this.#bucket.at(slot * SLOT_CELLS + 2);
  }
}

/** Never what says that a slot is empty or being claimed. */
function lowHash(key: string): number {
  const hash = hashString(key) | 0;
  return hash === EMPTY || hash === CLAIMED ? 2 : hash;
}

function highHash(key: string): number {
  return hashString(key, HASH_SEED) | 0;
}
