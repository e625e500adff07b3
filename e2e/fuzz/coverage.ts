// Which branches of some files have run, from V8's block coverage (node:inspector), so that inputs that take a new one are kept.
import { Session } from "node:inspector";

export class Coverage {
  readonly #session = new Session();
  #parts: readonly string[] = [];
  readonly #seen = new Set<string>();

  /** Make it before the files that are to be looked at are compiled. */
  constructor() {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Parts of the paths of the files that count. */
  look(parts: readonly string[]): void {
    this.#parts = parts;
  }

  get branches(): number {
    return this.#seen.size;
  }

  /** Branches that ran since the last call, and never before. `remembers` false: they count as new again the next time. */
  takeNew(remembers = true): number {
    let fresh = 0;
    // The session answers at once: it speaks to its own thread.
    this.#session.post("Profiler.takePreciseCoverage", (error, answer) => {
      if (error !== null) throw error;
      for (const { url, functions } of answer.result) {
        if (url.includes(".test.ts") || !this.#parts.some((part) => url.includes(part))) continue;
        for (const { ranges } of functions) {
          for (const { startOffset, endOffset, count } of ranges) {
            if (count === 0) continue;
            const key = `${url}:${startOffset}:${endOffset}`;
            if (this.#seen.has(key)) continue;
            if (remembers) this.#seen.add(key);
            fresh++;
          }
        }
      }
    });
    return fresh;
  }

  stop(): void {
    this.#session.disconnect();
  }
}
