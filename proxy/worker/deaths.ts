// When data threads died: how long to wait before the next is started, and whether the process may still be called ready.

/** A second death within this makes the process unready (contracts.md: threads). */
const WINDOW_MS = 60_000;
const MAX_DELAY_MS = 30_000;

export class Deaths {
  count = 0;
  readonly #nowMs: () => number;
  #recentMs: number[] = [];

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Ms to wait before the replacement: none for the first, then 1 s and doubling, so that a thread that cannot live is not started in a loop. */
  add(): number {
    this.count++;
    this.#forgetOld();
    this.#recentMs.push(this.#nowMs());
    const repeats = this.#recentMs.length - 1;
    return repeats === 0 ? 0 : Math.min(MAX_DELAY_MS, 1000 * 2 ** (repeats - 1));
  }

  /** Undefined: ready as far as this is concerned. */
  get reason(): string | undefined {
    this.#forgetOld();
    return this.#recentMs.length < 2 ? undefined : `data threads died ${this.#recentMs.length} times within a minute`;
  }

  #forgetOld(): void {
    const since = this.#nowMs() - WINDOW_MS;
    this.#recentMs = this.#recentMs.filter((atMs) => atMs > since);
  }
}
