// The gradient controller: how many requests may run at once so that latency stays near its ideal. Envoy's algorithm, as the
// documentation of its adaptive concurrency filter has it.
import { LATENCY_HISTOGRAM_CELLS, LatencyHistogram } from "#lib/latency-histogram.ts";
import type { Random } from "#lib/random.ts";

import type { SharedCounts } from "../filter.ts";
import type { GradientSettings } from "./config.ts";

const LIMIT = 0;
/** The limit that comes back after a measurement; 0 = none runs. */
const DEFERRED = 1;
const MIN_RTT_US = 2;
const SAMPLE_RTT_US = 3;
/** Thousandths. */
const GRADIENT = 4;
const TIMES_AT_MINIMUM = 5;
const NEXT_UPDATE_MS = 6;
const NEXT_MEASUREMENT_MS = 7;
/** Samples of requests that began before are of another time. */
const EPOCH_MS = 8;
const IS_MADE = 9;
/** When it was taken, never 0; held for microseconds. */
const LOCK = 10;
const STATE_CELLS = 11;

export const GRADIENT_CELLS = STATE_CELLS + LATENCY_HISTOGRAM_CELLS;
/** What each data thread has running. */
export const GRADIENT_SHARES = 1;

/** A thread that died with the lock has it no longer, ms. */
const LOCK_MS = 1000;
const MAX_TIMES_AT_MINIMUM = 5;
const LEAST_GRADIENT = 0.5;
const MOST_GRADIENT = 2;

/**
 *                  every interval (and jitter), or five updates in a row at the least limit
 *   updating  ------------------------------------------------------------------------------->  measuring
 *   each updateInterval: limit * gradient + sqrt(limit)                                          limit = minLimit
 *      ^                                                                                            |
 *      +------ minRttRequests samples: their percentile is the ideal latency; the old limit --------+
 *
 * gradient = ideal latency * (1 + buffer) / sampled latency, within 0.5 and 2. All data threads share limit and samples. There
 * are no timers: whoever comes when something is due does it, under a lock that nobody waits for. Times are ms of a
 * monotonic clock modulo 2^32.
 */
export class GradientController {
  readonly #settings: GradientSettings;
  readonly #cells: Int32Array;
  readonly #running: SharedCounts;
  readonly #random: Random;
  readonly #samples: LatencyHistogram;

  /** `cells` are `GRADIENT_CELLS`, `running` has `GRADIENT_SHARES`, all zero at first. */
  constructor(settings: GradientSettings, cells: Int32Array, running: SharedCounts, random: Random, nowMs: number) {
    this.#settings = settings;
    this.#cells = cells;
    this.#running = running;
    this.#random = random;
    this.#samples = new LatencyHistogram(cells.subarray(STATE_CELLS));
    if (Atomics.compareExchange(cells, IS_MADE, 0, 1) === 0) this.#begin(Math.floor(nowMs));
    // Another thread is between two stores: it takes nanoseconds.
    while (Atomics.load(cells, IS_MADE) === 1);
  }

  get limit(): number {
    return Atomics.load(this.#cells, LIMIT);
  }

  get running(): number {
    return Atomics.load(this.#running.total, 0);
  }

  get isMeasuring(): boolean {
    return Atomics.load(this.#cells, DEFERRED) !== 0;
  }

  get minRttUs(): number {
    return Atomics.load(this.#cells, MIN_RTT_US);
  }

  get sampleRttUs(): number {
    return Atomics.load(this.#cells, SAMPLE_RTT_US);
  }

  /** 0 until there was an update. */
  get gradient(): number {
    return Atomics.load(this.#cells, GRADIENT) / 1000;
  }

  /** Whether one more may run. Each true is answered by one `finish` or `cancel`. */
  tryStart(nowMs: number): boolean {
    this.#tick(Math.floor(nowMs));
    const { total, own } = this.#running;
    if (Atomics.add(total, 0, 1) >= this.limit) {
      Atomics.sub(total, 0, 1);
      return false;
    }
    own[0] = (own[0] ?? 0) + 1;
    return true;
  }

  /** It was answered: how long it took is a sample. */
  finish(startMs: number, nowMs: number): void {
    this.cancel();
    const now = Math.floor(nowMs);
    if (isBefore(Math.floor(startMs), Atomics.load(this.#cells, EPOCH_MS))) {
      this.#tick(now);
      return;
    }
    const count = this.#samples.add(Math.max(1, (nowMs - startMs) * 1000));
    if (this.isMeasuring && count >= this.#settings.minRttRequests) this.#locked(now, endMeasurement);
    else this.#tick(now);
  }

  /** It ended without an answer, which says nothing of latency. */
  cancel(): void {
    const { total, own } = this.#running;
    own[0] = (own[0] ?? 0) - 1;
    Atomics.sub(total, 0, 1);
  }

  #begin(now: number): void {
    const { minLimit, fixedMinRttUs, updateIntervalMs } = this.#settings;
    const cells = this.#cells;
    Atomics.store(cells, NEXT_UPDATE_MS, (now + updateIntervalMs) | 0);
    if (fixedMinRttUs !== undefined) Atomics.store(cells, MIN_RTT_US, Math.round(fixedMinRttUs));
    Atomics.store(cells, EPOCH_MS, now | 0);
    if (fixedMinRttUs === undefined) Atomics.store(cells, DEFERRED, minLimit);
    Atomics.store(cells, LIMIT, minLimit);
    Atomics.store(cells, IS_MADE, 2);
  }

  /** Does what is due. */
  #tick(now: number): void {
    const cells = this.#cells;
    if (Atomics.load(cells, DEFERRED) !== 0) return;
    if (this.#settings.fixedMinRttUs === undefined && !isBefore(now, Atomics.load(cells, NEXT_MEASUREMENT_MS)))
      this.#locked(now, beginMeasurement);
    else if (!isBefore(now, Atomics.load(cells, NEXT_UPDATE_MS))) this.#locked(now, update);
  }

  #locked(now: number, step: (controller: Locked, now: number) => void): void {
    const cells = this.#cells;
    const stamp = now | 0 || 1;
    const held = Atomics.compareExchange(cells, LOCK, 0, stamp);
    if (held !== 0) {
      if (isBefore(now, held + LOCK_MS) || Atomics.compareExchange(cells, LOCK, held, stamp) !== held) return;
    }
    try {
      step({ cells, settings: this.#settings, samples: this.#samples, random: this.#random }, now);
    } finally {
      Atomics.store(cells, LOCK, 0);
    }
  }
}

/** What a step under the lock works on. */
interface Locked {
  readonly cells: Int32Array;
  readonly settings: GradientSettings;
  readonly samples: LatencyHistogram;
  readonly random: Random;
}

function beginMeasurement({ cells, settings, samples }: Locked, now: number): void {
  if (Atomics.load(cells, DEFERRED) !== 0) return;
  samples.clear();
  Atomics.store(cells, EPOCH_MS, now | 0);
  Atomics.store(cells, DEFERRED, Atomics.load(cells, LIMIT));
  Atomics.store(cells, LIMIT, settings.minLimit);
  Atomics.store(cells, TIMES_AT_MINIMUM, 0);
}

function endMeasurement({ cells, settings, samples, random }: Locked, now: number): void {
  const deferred = Atomics.load(cells, DEFERRED);
  if (deferred === 0 || samples.count < settings.minRttRequests) return;
  Atomics.store(cells, MIN_RTT_US, toUs(samples.quantile(settings.percentile)));
  samples.clear();
  const waitMs = settings.minRttIntervalMs * (1 + settings.jitter * random.next());
  Atomics.store(cells, NEXT_MEASUREMENT_MS, (now + waitMs) | 0);
  Atomics.store(cells, NEXT_UPDATE_MS, (now + settings.updateIntervalMs) | 0);
  Atomics.store(cells, LIMIT, deferred);
  Atomics.store(cells, DEFERRED, 0);
}

function update({ cells, settings, samples }: Locked, now: number): void {
  if (Atomics.load(cells, DEFERRED) !== 0 || isBefore(now, Atomics.load(cells, NEXT_UPDATE_MS))) return;
  Atomics.store(cells, NEXT_UPDATE_MS, (now + settings.updateIntervalMs) | 0);
  if (samples.count === 0) return;
  const sampleUs = toUs(samples.quantile(settings.percentile));
  samples.clear();
  const idealUs = Atomics.load(cells, MIN_RTT_US) * (1 + settings.buffer);
  const gradient = Math.max(LEAST_GRADIENT, Math.min(MOST_GRADIENT, idealUs / sampleUs));
  const before = Atomics.load(cells, LIMIT);
  const limit = nextLimit(before, gradient, settings);
  Atomics.store(cells, SAMPLE_RTT_US, sampleUs);
  Atomics.store(cells, GRADIENT, Math.round(gradient * 1000));
  Atomics.store(cells, LIMIT, limit);
  const isStuck = before === settings.minLimit && limit === settings.minLimit;
  const times = isStuck ? Atomics.load(cells, TIMES_AT_MINIMUM) + 1 : 0;
  Atomics.store(cells, TIMES_AT_MINIMUM, times);
  // So many updates in a row at the least limit: what is taken for ideal may be too good to be true.
  if (times >= MAX_TIMES_AT_MINIMUM) Atomics.store(cells, NEXT_MEASUREMENT_MS, now | 0);
}

/** The square root is room to grow: without it a limit that is too low would never be seen to be. */
export function nextLimit(
  limit: number,
  gradient: number,
  { minLimit, maxLimit }: Pick<GradientSettings, "minLimit" | "maxLimit">,
): number {
  const scaled = limit * gradient;
  return Math.max(minLimit, Math.min(maxLimit, Math.floor(scaled + Math.sqrt(scaled))));
}

function toUs(quantile: number): number {
  return Math.max(1, Math.min(2 ** 31 - 1, Math.floor(quantile)));
}

/** Of two instants modulo 2^32 that are less than 24 days apart. */
function isBefore(left: number, right: number): boolean {
  return ((left | 0) - (right | 0)) >> 31 !== 0;
}
