// What comes into a proxy, in integer cells that its data threads share: how much, how fast, and how much it could do at best.

const BUCKET_MS = 500;
/** The last second says what is now. */
const RECENT = 2;
/** Ten seconds say what is possible: under overload the latest latencies say only how overloaded it is. */
const BUCKETS = 20;

const STAMP = 0;
const PASSED = 1;
const DONE = 2;
const RT_SUM_MS = 3;
/** 0 = nothing was done yet. */
const LEAST_RT_US = 4;
const BUCKET_CELLS = 5;

export const INBOUND_CELLS = BUCKETS * BUCKET_CELLS;

/** All but `qps` is brought up to date by `read`, at most once in a tenth of a second. */
export class InboundStatistics {
  averageRtMs = 0;
  /** Little's law on the best that was seen: most answers a second times least latency (Sentinel's and BBR's estimate). */
  capacity = 0;
  readonly #cells: Int32Array;
  #readMs = -Infinity;

  /** `cells` has `INBOUND_CELLS`, all zero at first. */
  constructor(cells: Int32Array) {
    this.#cells = cells;
  }

  pass(nowMs: number): void {
    Atomics.add(this.#cells, this.#bucketOf(turnOf(nowMs)) + PASSED, 1);
  }

  done(startMs: number, nowMs: number): void {
    const cells = this.#cells;
    const bucket = this.#bucketOf(turnOf(nowMs));
    Atomics.add(cells, bucket + DONE, 1);
    Atomics.add(cells, bucket + RT_SUM_MS, Math.min(1e6, Math.round(nowMs - startMs)));
    const rtUs = Math.max(1, Math.min(2 ** 31 - 1, Math.round((nowMs - startMs) * 1000)));
    for (;;) {
      const least = Atomics.load(cells, bucket + LEAST_RT_US);
      if (least !== 0 && least <= rtUs) return;
      if (Atomics.compareExchange(cells, bucket + LEAST_RT_US, least, rtUs) === least) return;
    }
  }

  /** Of the running half second and the one before. */
  qps(nowMs: number): number {
    const turn = turnOf(nowMs);
    return ((this.#passedIn(turn) + this.#passedIn(turn - 1)) * 1000) / (RECENT * BUCKET_MS);
  }

  read(nowMs: number): void {
    if (nowMs - this.#readMs < 100) return;
    this.#readMs = nowMs;
    const cells = this.#cells;
    const turn = turnOf(nowMs);
    let done = 0;
    let rtSumMs = 0;
    let mostDone = 0;
    let leastUs = Infinity;
    for (let bucket = 0; bucket < cells.length; bucket += BUCKET_CELLS) {
      const age = (turn - Atomics.load(cells, bucket + STAMP)) | 0;
      if (age < 0 || age >= BUCKETS) continue;
      const doneHere = Atomics.load(cells, bucket + DONE);
      const leastHere = Atomics.load(cells, bucket + LEAST_RT_US);
      mostDone = Math.max(mostDone, doneHere);
      if (leastHere > 0) leastUs = Math.min(leastUs, leastHere);
      if (age >= RECENT) continue;
      done += doneHere;
      rtSumMs += Atomics.load(cells, bucket + RT_SUM_MS);
    }
    this.averageRtMs = done === 0 ? 0 : rtSumMs / done;
    this.capacity = mostDone === 0 ? 0 : ((mostDone * 1000) / BUCKET_MS) * (leastUs / 1e6);
  }

  #passedIn(turn: number): number {
    const bucket = (turn % BUCKETS) * BUCKET_CELLS;
    return Atomics.load(this.#cells, bucket + STAMP) === turn ? Atomics.load(this.#cells, bucket + PASSED) : 0;
  }

  /** That of this half second: whoever comes first empties it of what it was. */
  #bucketOf(turn: number): number {
    const cells = this.#cells;
    const bucket = (turn % BUCKETS) * BUCKET_CELLS;
    const was = Atomics.load(cells, bucket + STAMP);
    if (was !== turn && Atomics.compareExchange(cells, bucket + STAMP, was, turn) === was)
      for (let at = 1; at < BUCKET_CELLS; at++) Atomics.store(cells, bucket + at, 0);
    return bucket;
  }
}

/** Fits a cell for 34 years of uptime; the first is not 0, which is an empty cell. */
function turnOf(nowMs: number): number {
  return Math.floor(nowMs / BUCKET_MS) + 1;
}
