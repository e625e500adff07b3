// Waiting for conditions, and knowing how long the machine kept us waiting.
import { setTimeout as delay } from "node:timers/promises";
import { ClaimFailed } from "./claim.ts";

const POLL_MS = 20;
/** Conditions of the demo come true within seconds; a machine that is busy gets minutes. */
const DEFAULT_LIMIT_MS = 180_000;

/** Polls until `probe` gives something. Throws a ClaimFailed with `what` and the last reason when it does not in `limitMs`. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  limitMs: number = DEFAULT_LIMIT_MS,
): Promise<T> {
  const begin = performance.now();
  let reason = "";
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      if (error instanceof ClaimFailed) throw error;
      reason = error instanceof Error ? `: ${error.message}` : "";
    }
    if (performance.now() - begin > limitMs) throw new ClaimFailed(`waited ${limitMs / 1000} s for ${what}${reason}`);
    await delay(POLL_MS);
  }
}

/** Measures for how long this process was not given the processor: the sum of how late its timers were. */
export class StallClock {
  #stalledMs = 0;
  #last = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#stalledMs += Math.max(0, now - this.#last - POLL_MS);
      this.#last = now;
    }, POLL_MS);
    this.#timer.unref();
  }

  get stalledMs(): number {
    return this.#stalledMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
