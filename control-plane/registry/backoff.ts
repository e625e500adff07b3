// How long to wait before a source is tried again: doubling, full jitter, capped.
import type { Random } from "#lib/random.ts";

/** Waits of a loop that reconnects; `reset` after success. */
export class Backoff {
  readonly #random: Random;
  readonly #baseMs: number;
  readonly #maxMs: number;
  #attempt = 0;

  /** The first wait is between `baseMs / 2` and `baseMs`; none is longer than `maxMs`. */
  constructor(random: Random, baseMs = 200, maxMs = 30_000) {
    this.#random = random;
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** The next wait in ms. Half of it is fixed, so that a lucky draw never makes a busy loop. */
  next(): number {
    const ceiling = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    return ceiling / 2 + (this.#random.next() * ceiling) / 2;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
