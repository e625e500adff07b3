// Virtual hosts that requests ask for: who waits for which, what is known not to exist, and which are used no more.
//
//   lookUp --held and applied--> found
//          --told "none" < 5 s ago--> unknown
//          --else--> subscribe, wait --applied--> found
//                                    --told "none"--> unknown, for 5 s
//                                    --refused, or 1 s over--> failed: not an answer, the request says why
import type { Clock, Timer } from "#lib/clock.ts";

/** The first request for a host waits at most this long (contracts.md, "On demand"). */
const WAIT_MS = 1000;
const NEGATIVE_MS = 5000;
const IDLE_MS = 600_000;
const SWEEP_MS = 60_000;
/** Hosts come from requests, so there is an end to how many are kept, of either kind. */
const MAX_HOSTS = 10_000;
const MAX_NEGATIVE = 1024;

/** A lookup that failed is not an answer "unknown". */
export type HostAnswer =
  | { readonly kind: "found" }
  | { readonly kind: "unknown" }
  | { readonly kind: "failed"; readonly reason: string };

/** How far a host has got. */
export type HostState = HostAnswer | { readonly kind: "waiting" };

/** The dialogue behind it; names are `<table>/<host>`. */
export interface HostSource {
  stateOf(name: string): HostState;
  subscribe(name: string): void;
  unsubscribe(names: readonly string[]): void;
  /** Why nothing comes at all; `undefined` while the control plane is connected. */
  troubleOf(): string | undefined;
}

interface Waiting {
  readonly answer: PromiseWithResolvers<HostAnswer>;
  readonly timer: Timer;
}

export class OnDemandHosts {
  readonly #clock: Clock;
  readonly #source: HostSource;
  /** When each host that is subscribed to was last asked for or used (monotonic ms). */
  readonly #usedAtMs = new Map<string, number>();
  readonly #waiting = new Map<string, Waiting>();
  /** Until when a host is known not to exist, oldest first. */
  readonly #unknownUntilMs = new Map<string, number>();
  #sweepTimer: Timer | undefined;

  constructor(clock: Clock, source: HostSource) {
    this.#clock = clock;
    this.#source = source;
  }

  /** Takes over a host from before a restart. */
  keep(name: string): void {
    this.#touch(name);
  }

  /** Resolves when the host works or it is known why it does not; those that ask at the same time wait together. */
  async lookUp(name: string): Promise<HostAnswer> {
    const nowMs = this.#clock.nowMs();
    if ((this.#unknownUntilMs.get(name) ?? -Infinity) > nowMs) return { kind: "unknown" };
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) return waiting.answer.promise;
    if (!this.#usedAtMs.has(name)) {
      if (this.#usedAtMs.size >= MAX_HOSTS)
        return { kind: "failed", reason: `${MAX_HOSTS} hosts are in use, the limit` };
      this.#source.subscribe(name);
    }
    this.#touch(name);
    const state = this.#source.stateOf(name);
    if (state.kind !== "waiting") return state;
    const timer = this.#clock.setTimer(WAIT_MS, () => {
      const trouble = this.#source.troubleOf();
      const reason = trouble === undefined ? "" : `: ${trouble}`;
      this.#answer(name, { kind: "failed", reason: `the control plane did not answer within ${WAIT_MS} ms${reason}` });
    });
    const answer = Promise.withResolvers<HostAnswer>();
    this.#waiting.set(name, { answer, timer });
    return answer.promise;
  }

  /** Something was received or applied: answers those who waited for it. */
  settle(): void {
    for (const name of this.#usedAtMs.keys()) {
      const state = this.#source.stateOf(name);
      if (state.kind === "unknown") this.#forget(name);
      if (state.kind !== "waiting") this.#answer(name, state);
    }
  }

  /** Requests went to these since the last call. */
  use(names: Iterable<string>): void {
    const nowMs = this.#clock.nowMs();
    for (const name of names) if (this.#usedAtMs.has(name)) this.#usedAtMs.set(name, nowMs);
  }

  close(): void {
    this.#sweepTimer?.cancel();
    for (const name of this.#waiting.keys()) this.#answer(name, { kind: "failed", reason: "the proxy is stopping" });
  }

  #answer(name: string, answer: HostAnswer): void {
    const waiting = this.#waiting.get(name);
    if (waiting === undefined) return;
    this.#waiting.delete(name);
    waiting.timer.cancel();
    waiting.answer.resolve(answer);
  }

  /** Told that there is none. */
  #forget(name: string): void {
    this.#usedAtMs.delete(name);
    this.#unknownUntilMs.delete(name);
    this.#unknownUntilMs.set(name, this.#clock.nowMs() + NEGATIVE_MS);
    if (this.#unknownUntilMs.size > MAX_NEGATIVE) {
      const [oldest] = this.#unknownUntilMs.keys();
      if (oldest !== undefined) this.#unknownUntilMs.delete(oldest);
    }
    this.#source.unsubscribe([name]);
  }

  #touch(name: string): void {
    this.#usedAtMs.set(name, this.#clock.nowMs());
    this.#unknownUntilMs.delete(name);
    this.#sweepTimer ??= this.#clock.setTimer(SWEEP_MS, () => this.#sweep());
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    const idle = [...this.#usedAtMs].flatMap(([name, atMs]) => (nowMs - atMs >= IDLE_MS ? [name] : []));
    for (const name of idle) this.#usedAtMs.delete(name);
    for (const [name, untilMs] of this.#unknownUntilMs) if (untilMs <= nowMs) this.#unknownUntilMs.delete(name);
    if (idle.length > 0) this.#source.unsubscribe(idle);
    this.#sweepTimer = this.#usedAtMs.size === 0 ? undefined : this.#clock.setTimer(SWEEP_MS, () => this.#sweep());
  }
}
