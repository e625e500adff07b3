// A token bucket in two shared integers: exact among worker threads with one compare-and-swap and no lock.

/** Envoy's words (type.v3.TokenBucket): the bucket holds `maxTokens`, and `tokensPerFill` come in per `fillIntervalMs`. */
export interface TokenBucketSpec {
  /** The burst; 1 to 2^24. */
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

/** The answer, written into the bucket's own fields so that a decision makes no object. Read it before the next `tryTake`. */
export interface TokenVerdict {
  readonly allowed: boolean;
  /** Whole tokens that are left. */
  readonly remaining: number;
  /** Ms until the tokens that were refused would be there; 0 when allowed; Infinity when there are more than the bucket holds. */
  readonly retryAfterMs: number;
  /** Ms until the bucket is full again. */
  readonly resetMs: number;
  /** Ms until there is a whole token; 0 when there is one now. */
  readonly nextMs: number;
}

/** Cells of one bucket. All zero is a full bucket that was never used. */
export const TOKEN_BUCKET_CELLS = 2;
const TAT = 0;
const LAST_TICK = 1;

/** Of the second cell: 1/16 s, so that it wraps after eight years. */
const TICK_MS = 62.5;

const MAX_UNITS = 2 ** 29;
const UNITS_PER_TOKEN = 1024;

/**
 * Tokens come in continuously at `tokensPerFill / fillIntervalMs`, as in Envoy's own local rate limit (its AtomicTokenBucketImpl),
 * not in steps: with 100 tokens a second and a burst of 20, a full bucket lets 20 through at once and then one every 10 ms; in any
 * window of T ms at most maxTokens + T * rate pass.
 *
 * The state is one instant (the "theoretical arrival time" of the ATM Forum's GCRA): when the bucket will be full again. It is kept
 * in units of 1/1024 token (coarser above 2^19 tokens, so that a whole bucket is below 2^29 units), modulo 2^32, in one cell that
 * is changed by compare-and-swap. The error is below one unit and does not add up. The other cell is the sixteenth of a second
 * in which a token was last asked for: when that is longer ago than the bucket takes to fill, it is full, whatever the wrapped instant seems to say.
 *
 * The same cell is a leaky bucket of `maxTokens - 1` places: what takes a token waits for `resetMs` less the time of one token, and
 * so requests go on one by one at the rate.
 *
 * `nowMs` must come from one monotonic clock for all threads that share the cells.
 */
export class TokenBucket implements TokenVerdict {
  allowed = false;
  remaining = 0;
  retryAfterMs = 0;
  resetMs = 0;
  nextMs = 0;
  readonly spec: TokenBucketSpec;
  readonly #cells: Int32Array;
  #offset: number;
  readonly #unitsPerToken: number;
  readonly #unitsPerMs: number;
  readonly #capacity: number;
  readonly #fillTicks: number;

  /** `cells` has `TOKEN_BUCKET_CELLS` from `offset` on; over a SharedArrayBuffer when threads share it. */
  constructor(spec: TokenBucketSpec, cells: Int32Array = new Int32Array(TOKEN_BUCKET_CELLS), offset = 0) {
    if (!(spec.maxTokens >= 1 && spec.maxTokens <= 2 ** 24))
      throw new RangeError(`Cannot make a token bucket: maxTokens must be 1 to 2^24: got ${spec.maxTokens}`);
    if (!(spec.tokensPerFill > 0 && Number.isFinite(spec.tokensPerFill)))
      throw new RangeError(`Cannot make a token bucket: tokensPerFill must be above 0: got ${spec.tokensPerFill}`);
    if (!(spec.fillIntervalMs > 0 && Number.isFinite(spec.fillIntervalMs)))
      throw new RangeError(`Cannot make a token bucket: fillIntervalMs must be above 0: got ${spec.fillIntervalMs}`);
    this.spec = spec;
    this.#cells = cells;
    this.#offset = offset;
    this.#unitsPerToken = Math.min(UNITS_PER_TOKEN, Math.floor(MAX_UNITS / spec.maxTokens));
    this.#unitsPerMs = (this.#unitsPerToken * spec.tokensPerFill) / spec.fillIntervalMs;
    this.#capacity = Math.floor(spec.maxTokens * this.#unitsPerToken);
    this.#fillTicks = Math.ceil(this.#capacity / this.#unitsPerMs / TICK_MS) + 16;
  }

  /** Takes `tokens` (may be a fraction; all or nothing). The answer is this bucket's own fields. */
  tryTake(nowMs: number, tokens = 1): TokenVerdict {
    const cells = this.#cells;
    const now = Math.floor(nowMs * this.#unitsPerMs) | 0;
    const tick = tickOf(nowMs);
    const cost = Math.round(tokens * this.#unitsPerToken);
    for (;;) {
      const tat = Atomics.load(cells, this.#offset + TAT);
      const missing = this.#missing(tat, now, tick);
      const next = missing + cost;
      if (next > this.#capacity) {
        Atomics.store(cells, this.#offset + LAST_TICK, tick);
        this.#say(false, missing, cost > this.#capacity ? Infinity : (next - this.#capacity) / this.#unitsPerMs);
        return this;
      }
      // The tick first: a fresh tick beside an old instant refuses nothing wrongly, the other order could admit too much.
      Atomics.store(cells, this.#offset + LAST_TICK, tick);
      if (Atomics.compareExchange(cells, this.#offset + TAT, tat, (now + next) | 0) !== tat) continue;
      this.#say(true, next, 0);
      return this;
    }
  }

  /** Moves on to the bucket whose cells begin there: one object serves a whole table. */
  at(offset: number): this {
    this.#offset = offset;
    return this;
  }

  /**
   * Puts tokens back, within the `resetMs` of its verdict: later it may have come back by itself. The state is as if it had not
   * been taken, but that a bucket which would have been full meanwhile has been filling for that time.
   */
  giveBack(nowMs: number, tokens = 1): void {
    const cells = this.#cells;
    const now = Math.floor(nowMs * this.#unitsPerMs) | 0;
    const tick = tickOf(nowMs);
    for (;;) {
      const tat = Atomics.load(cells, this.#offset + TAT);
      const missing = this.#missing(tat, now, tick);
      const next = Math.max(0, missing - Math.round(tokens * this.#unitsPerToken));
      if (missing === 0 || Atomics.compareExchange(cells, this.#offset + TAT, tat, (now + next) | 0) === tat) return;
    }
  }

  /** What is there now, without taking any. */
  peek(nowMs: number): TokenVerdict {
    const now = Math.floor(nowMs * this.#unitsPerMs) | 0;
    const missing = this.#missing(Atomics.load(this.#cells, this.#offset + TAT), now, tickOf(nowMs));
    this.#say(missing + this.#unitsPerToken <= this.#capacity, missing, 0);
    return this;
  }

  /** The share of the bucket that is empty: 0 (full) to 1. */
  emptiness(nowMs: number): number {
    const now = Math.floor(nowMs * this.#unitsPerMs) | 0;
    return this.#missing(Atomics.load(this.#cells, this.#offset + TAT), now, tickOf(nowMs)) / this.#capacity;
  }

  /** Takes out what is above this share: of a bucket that takes another's place. Harmless when said by several threads. */
  drainTo(emptiness: number, nowMs: number): void {
    const cells = this.#cells;
    const now = Math.floor(nowMs * this.#unitsPerMs) | 0;
    const tick = tickOf(nowMs);
    const wanted = Math.min(this.#capacity, Math.ceil(emptiness * this.#capacity));
    for (;;) {
      const tat = Atomics.load(cells, this.#offset + TAT);
      if (this.#missing(tat, now, tick) >= wanted) return;
      Atomics.store(cells, this.#offset + LAST_TICK, tick);
      if (Atomics.compareExchange(cells, this.#offset + TAT, tat, (now + wanted) | 0) === tat) return;
    }
  }

  /** Ms since a token was last asked for, to a sixteenth of a second. */
  idleMs(nowMs: number): number {
    return ((tickOf(nowMs) - Atomics.load(this.#cells, this.#offset + LAST_TICK)) | 0) * TICK_MS;
  }

  /** Units that the bucket lacks to be full: 0 to its capacity. */
  #missing(tat: number, now: number, tick: number): number {
    const age = (tick - Atomics.load(this.#cells, this.#offset + LAST_TICK)) | 0;
    if (age > this.#fillTicks) return 0;
    const missing = (tat - now) | 0;
    return missing < 0 || missing > this.#capacity ? 0 : missing;
  }

  #say(allowed: boolean, missing: number, retryAfterMs: number): void {
    this.allowed = allowed;
    this.remaining = Math.floor((this.#capacity - missing) / this.#unitsPerToken);
    this.retryAfterMs = retryAfterMs;
    this.resetMs = missing / this.#unitsPerMs;
    this.nextMs = Math.max(0, missing + this.#unitsPerToken - this.#capacity) / this.#unitsPerMs;
  }
}

function tickOf(nowMs: number): number {
  return Math.floor(nowMs / TICK_MS) | 0;
}
