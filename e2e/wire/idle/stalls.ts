// When a process stood still: its event loop did not turn, for its own work or because the machine did not let it run.

/** The same in all processes of a machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** From when to when, by `monotonicMs`. */
export type Stall = readonly [fromMs: number, untilMs: number];

const LOOK_MS = 20;
/** Shorter ones are not worth a record. */
const SHORTEST_MS = 100;

export class StallWatch {
  readonly all: Stall[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;
  #lastMs = 0;

  start(): this {
    this.#lastMs = monotonicMs();
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
    return this;
  }

  stop(): readonly Stall[] {
    this.#look();
    clearInterval(this.#timer);
    return this.all;
  }

  #look(): void {
    const nowMs = monotonicMs();
    if (nowMs - this.#lastMs >= SHORTEST_MS) this.all.push([this.#lastMs, nowMs]);
    this.#lastMs = nowMs;
  }
}

export function longestMs(stalls: readonly Stall[]): number {
  return Math.round(stalls.reduce((longest, [fromMs, untilMs]) => Math.max(longest, untilMs - fromMs), 0));
}
