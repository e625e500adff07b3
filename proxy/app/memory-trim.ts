// Gives the memory back that reading configuration took: V8 keeps a young generation that grew (13 MB) at its size for as long as
// nothing is allocated. Only for the main thread, which carries no data; a collection stops it for 15 to 50 ms.
import type { Clock, Timer } from "#lib/clock.ts";

import { collectGarbage } from "./collect-garbage.ts";

/** After the last change; changes that follow each other are one. */
const QUIET_MS = 1000;
/** At least this between two collections. */
const PAUSE_MS = 30_000;

/** Collects once it has been quiet for a second after `noteChange`. */
export class MemoryTrim {
  readonly #clock: Clock;
  readonly #collect: () => void;
  #timer: Timer | undefined;
  #earliestMs = 0;

  constructor(clock: Clock, collect: () => void = collectGarbage) {
    this.#clock = clock;
    this.#collect = collect;
  }

  noteChange(): void {
    this.#timer?.cancel();
    const nowMs = this.#clock.nowMs();
    this.#timer = this.#clock.setTimer(Math.max(QUIET_MS, this.#earliestMs - nowMs), () => {
      this.#timer = undefined;
      this.#earliestMs = this.#clock.nowMs() + PAUSE_MS;
      this.#collect();
    });
  }

  close(): void {
    this.#timer?.cancel();
  }
}
