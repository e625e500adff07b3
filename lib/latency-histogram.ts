// A histogram of latencies in integer cells that threads may share: two significant digits, as circllhist has them, no lock to add.

/** Values below 100 us have a cell each; above, each power of ten has 90. */
const EXACT = 100;
const PER_DECADE = 90;
/** Up to 1,000 s; what is longer counts as that. */
const DECADES = 7;
const BUCKETS = EXACT + DECADES * PER_DECADE;
const TOTAL = BUCKETS;

export const LATENCY_HISTOGRAM_CELLS = BUCKETS + 1;

/** Microseconds go in, a percentile comes out, off by at most 5 %. Adding while another thread clears may lose that one sample. */
export class LatencyHistogram {
  readonly #cells: Int32Array;

  /** `cells` has `LATENCY_HISTOGRAM_CELLS`, all zero at first. */
  constructor(cells: Int32Array) {
    this.#cells = cells;
  }

  get count(): number {
    return Atomics.load(this.#cells, TOTAL);
  }

  /** Returns how many there are now. */
  add(valueUs: number): number {
    Atomics.add(this.#cells, bucketOf(valueUs), 1);
    return Atomics.add(this.#cells, TOTAL, 1) + 1;
  }

  /** The value that this share (0 to 1) of the samples does not exceed; 0 where there are none. */
  quantile(share: number): number {
    let total = 0;
    for (let i = 0; i < BUCKETS; i++) total += Atomics.load(this.#cells, i);
    if (total === 0) return 0;
    const wanted = Math.max(1, share * total);
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      const here = Atomics.load(this.#cells, i);
      if (here > 0 && seen + here >= wanted) return lowestOf(i) + widthOf(i) * ((wanted - seen) / here);
      seen += here;
    }
    return lowestOf(BUCKETS);
  }

  clear(): void {
    for (let i = 0; i < LATENCY_HISTOGRAM_CELLS; i++) Atomics.store(this.#cells, i, 0);
  }
}

function bucketOf(valueUs: number): number {
  const value = Math.max(0, Math.floor(valueUs));
  if (value < EXACT) return value;
  const decade = Math.floor(Math.log10(value) + 1e-9) - 2;
  if (decade >= DECADES) return BUCKETS - 1;
  return EXACT + decade * PER_DECADE + Math.min(PER_DECADE - 1, Math.floor(value / 10 ** (decade + 1)) - 10);
}

function lowestOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const above = bucket - EXACT;
  return ((above % PER_DECADE) + 10) * 10 ** (Math.floor(above / PER_DECADE) + 1);
}

function widthOf(bucket: number): number {
  return bucket < EXACT ? 1 : 10 ** (Math.floor((bucket - EXACT) / PER_DECADE) + 1);
}
