// Gives the memory back that reading configuration took: V8 keeps a young generation that grew (13 MB) at its size for as long as
// nothing is allocated. Only for the main thread, which carries no data; a collection stops it for 15 to 50 ms.
import v8 from "node:v8";
import vm from "node:vm";
import type { Clock, Timer } from "#lib/clock.ts";

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

  constructor(clock: Clock, collect: () => void = collectAll) {
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

/** V8's collector under memory pressure, which also makes the spaces small; a plain one leaves them as they are. */
function collectAll(): void {
  v8.setFlagsFromString("--expose-gc");
  const collect: unknown = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
