// A clock that tests move by hand.
import type { Clock, Timer } from "../clock.ts";

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Starts at `startMs`; `advance` fires the timers that fall due, in order. */
export class FakeClock implements Clock {
  #now: number;
  #order = 0;
  #entries: Entry[] = [];

  constructor(startMs = 1_000_000) {
    this.#now = startMs;
  }

  nowMs(): number {
    return this.#now;
  }

  recentMs(): number {
    return this.#now;
  }

  wallMs(): number {
    return this.#now;
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const entry: Entry = { atMs: this.#now + Math.max(0, delayMs), order: this.#order++, callback };
    this.#entries.push(entry);
    return {
      cancel: () => {
        this.#entries = this.#entries.filter((other) => other !== entry);
      },
    };
  }

  /** How many timers wait. */
  get pendingTimers(): number {
    return this.#entries.length;
  }

  advance(byMs: number): void {
    const until = this.#now + byMs;
    for (;;) {
      const due = this.#entries
        .filter((entry) => entry.atMs <= until)
        .toSorted((left, right) => left.atMs - right.atMs || left.order - right.order)[0];
      if (due === undefined) break;
      this.#entries = this.#entries.filter((entry) => entry !== due);
      this.#now = due.atMs;
      due.callback();
    }
    this.#now = until;
  }
}
