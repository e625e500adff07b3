// Gives the memory back that reading configuration took: V8 keeps a young generation that grew (13 MB) at its size for as long as
// nothing is allocated. A collection stops its thread for 15 to 50 ms: the main thread, which carries no data, and workers that have
// no connection.
import type { Clock, Timer } from "#lib/clock.ts";

/** After the last change; changes that follow each other are one. */
const QUIET_MS = 1000;
/** At least this between two collections. */
const PAUSE_MS = 30_000;
/** The workers have collected by then. */
const COLLECTED_MS = 200;

export interface MemoryTrimParts {
  readonly clock: Clock;
  /** Starts what frees memory. */
  readonly collect: () => void;
  /** Gives what was freed back to the system. */
  readonly release: () => void;
}

/** Collects once it has been quiet for a second after `noteChange`. */
export class MemoryTrim {
  readonly #parts: MemoryTrimParts;
  #timer: Timer | undefined;
  #releasing: Timer | undefined;
  #earliestMs = 0;

  constructor(parts: MemoryTrimParts) {
    this.#parts = parts;
  }

  noteChange(): void {
    this.#timer?.cancel();
    const { clock, collect, release } = this.#parts;
    const nowMs = clock.nowMs();
    this.#timer = clock.setTimer(Math.max(QUIET_MS, this.#earliestMs - nowMs), () => {
      this.#earliestMs = clock.nowMs() + PAUSE_MS;
      collect();
      this.#releasing = clock.setTimer(COLLECTED_MS, release);
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#releasing?.cancel();
  }
}
