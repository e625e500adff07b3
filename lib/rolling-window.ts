// Counts of the last so many ms in buckets: successes and failures, without a timer.

/** A window of `windowMs` in `bucketCount` buckets; an old bucket is emptied when its turn comes again. */
export class RollingWindow {
  readonly #bucketMs: number;
  readonly #bucketCount: number;
  readonly #successes: Float64Array;
  readonly #failures: Float64Array;
  #turn = -1;
  #successTotal = 0;
  #failureTotal = 0;

  constructor(windowMs: number, bucketCount = 10) {
    this.#bucketMs = windowMs / bucketCount;
    this.#bucketCount = bucketCount;
    this.#successes = new Float64Array(bucketCount);
    this.#failures = new Float64Array(bucketCount);
  }

  add(nowMs: number, isSuccess: boolean): void {
    this.#advance(nowMs);
    const at = this.#turn % this.#bucketCount;
    if (isSuccess) {
      this.#successes[at] = (this.#successes[at] ?? 0) + 1;
      this.#successTotal++;
    } else {
      this.#failures[at] = (this.#failures[at] ?? 0) + 1;
      this.#failureTotal++;
    }
  }

  /** All that was counted within the window. */
  total(nowMs: number): number {
    this.#advance(nowMs);
    return this.#successTotal + this.#failureTotal;
  }

  failures(nowMs: number): number {
    this.#advance(nowMs);
    return this.#failureTotal;
  }

  clear(): void {
    this.#successes.fill(0);
    this.#failures.fill(0);
    this.#successTotal = 0;
    this.#failureTotal = 0;
  }

  #advance(nowMs: number): void {
    const turn = Math.floor(nowMs / this.#bucketMs);
    if (turn <= this.#turn) return;
    const steps = Math.min(turn - this.#turn, this.#bucketCount);
    for (let i = 0; i < steps; i++) {
      const at = (turn - i) % this.#bucketCount;
      this.#successTotal -= this.#successes[at] ?? 0;
      this.#failureTotal -= this.#failures[at] ?? 0;
      this.#successes[at] = 0;
      this.#failures[at] = 0;
    }
    this.#turn = turn;
  }
}
