// The circuit breaker of one cluster: opossum owns its state machine, requests read a mirror of it.
import { EventEmitter } from "node:events";
import OpossumBreaker from "opossum";
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { BreakerState } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import { RollingWindow } from "#lib/rolling-window.ts";

export const BREAKER_CELLS = 2;
const STATE = 0;
const PERMIT = 1;

const CLOSED = 0;
const OPEN = 1;
const HALF_OPEN = 2;
const NAMES = ["closed", "open", "half-open"] as const;

/** A probe that nobody reported (its worker died, its client went away) counts as failed after so long. */
const PROBE_TIMEOUT_MS = 30_000;

/** The breaker that these cells are of, from the given one on. */
export function isBreakerClosed(cells: Int32Array, at: number): boolean {
  return Atomics.load(cells, at + STATE) === CLOSED;
}

/**
 *            share of failures >= errorPercent, volume >= volumeThreshold
 *   closed ------------------------------------------------------------> open <---+
 *     ^                                                                    |      |
 *     |                                            sleepWindowMs           v      | the probe fails
 *     +------------- the probe succeeds --------------------------- half-open ----+
 *
 * Hystrix's semantics (defaults 20 requests, 50 %, 10 s, 5 s). opossum's `opened` is false in half-open, where it would let all
 * through, and `fire()` costs 0.4-0.9 us, so that requests never touch it: they read the mirrored state, and their results
 * go to counters of our own, which call opossum's `open()`. In half-open one request takes the permit by compare-and-swap; it
 * is opossum's `fire()`, whose promise is settled by `report`. The cells are shared by all workers; each worker has its own
 * opossum, which follows the cells when another one has moved them. Failures are counted per worker.
 */
export class ClusterBreaker implements BreakerState {
  readonly policy: BreakerPolicy;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #cells: Int32Array;
  readonly #window: RollingWindow;
  readonly #onChange: ((state: BreakerState["state"]) => void) | undefined;
  /** Made when it first has something to do. */
  #opossum: OpossumBreaker<[], void> | undefined = undefined;
  /** The state of our own opossum. */
  #own = CLOSED;
  #openedAtMs = 0;
  #settleProbe: ((isSuccess: boolean) => void) | undefined = undefined;
  #isShutDown = false;

  constructor(
    name: string,
    policy: BreakerPolicy,
    clock: Clock,
    cells: Int32Array = new Int32Array(BREAKER_CELLS),
    onChange?: (state: BreakerState["state"]) => void,
  ) {
    this.#name = name;
    this.policy = policy;
    this.#clock = clock;
    this.#cells = cells;
    this.#window = new RollingWindow(policy.windowMs);
    this.#onChange = onChange;
  }

  get state(): BreakerState["state"] {
    return NAMES[Atomics.load(this.#cells, STATE)] ?? "closed";
  }

  get retryAfterMs(): number {
    if (Atomics.load(this.#cells, STATE) !== OPEN) return 0;
    if (this.#own !== OPEN) return this.policy.sleepWindowMs;
    return Math.max(0, this.#openedAtMs + this.policy.sleepWindowMs - this.#clock.nowMs());
  }

  tryPass(): "pass" | "probe" | "refused" {
    const state = Atomics.load(this.#cells, STATE);
    if (state !== this.#own) this.#follow(state);
    if (state === CLOSED) return "pass";
    if (state === OPEN || this.#own !== HALF_OPEN) return "refused";
    if (Atomics.compareExchange(this.#cells, PERMIT, 0, 1) !== 0) return "refused";
    this.#fireProbe();
    return "probe";
  }

  report(permit: "pass" | "probe", isSuccess: boolean): void {
    if (permit === "probe") {
      const settle = this.#settleProbe;
      this.#settleProbe = undefined;
      settle?.(isSuccess);
      return;
    }
    // What passed before it opened says nothing about the time after.
    if (Atomics.load(this.#cells, STATE) !== CLOSED) return;
    const nowMs = this.#clock.nowMs();
    this.#window.add(nowMs, isSuccess);
    if (isSuccess) return;
    const total = this.#window.total(nowMs);
    if (total < this.policy.volumeThreshold) return;
    if (this.#window.failures(nowMs) * 100 >= total * this.policy.errorPercent) this.#ensureOpossum().open();
  }

  /** Ends it and its timers in this thread; the shared state is left to others. */
  leave(): void {
    if (this.#isShutDown) return;
    this.#isShutDown = true;
    this.#opossum?.shutdown();
    this.#settleProbe = undefined;
  }

  /** Closes it for good, with its timers. The shared state goes back to closed. */
  shutDown(): void {
    if (this.#isShutDown) return;
    this.leave();
    Atomics.store(this.#cells, STATE, CLOSED);
    Atomics.store(this.#cells, PERMIT, 0);
  }

  /** Another worker has moved the shared state. */
  #follow(state: number): void {
    if (state === OPEN) this.#ensureOpossum().open();
    else if (state === CLOSED) this.#opossum?.close();
    // Half-open: our own timer is about to say so too.
  }

  #fireProbe(): void {
    this.#ensureOpossum()
      .fire()
      .catch(() => undefined);
  }

  #ensureOpossum(): OpossumBreaker<[], void> {
    this.#opossum ??= this.#makeOpossum();
    return this.#opossum;
  }

  #makeOpossum(): OpossumBreaker<[], void> {
    const probe = (): Promise<void> =>
      new Promise((resolve, reject) => {
        this.#settleProbe = (isSuccess) => (isSuccess ? resolve() : reject(new Error("The probe failed")));
      });
    // `rotateBucketController` (not yet in its types) that never says "rotate": its own counters are not used, so no timer either.
    const options = {
      name: this.#name,
      timeout: PROBE_TIMEOUT_MS,
      resetTimeout: this.policy.sleepWindowMs,
      rollingCountBuckets: 1,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: new EventEmitter(),
    };
    const breaker = new OpossumBreaker<[], void>(probe, options);
    breaker.on("open", () => this.#enter(OPEN));
    breaker.on("halfOpen", () => this.#enter(HALF_OPEN));
    breaker.on("close", () => this.#enter(CLOSED));
    return breaker;
  }

  #enter(state: number): void {
    if (this.#isShutDown) return;
    this.#own = state;
    this.#window.clear();
    if (state === OPEN) this.#openedAtMs = this.#clock.nowMs();
    const before = Atomics.exchange(this.#cells, STATE, state);
    // A permit that is out while another worker's timer comes late stays out: its probe decides.
    if (state !== HALF_OPEN || before !== HALF_OPEN) Atomics.store(this.#cells, PERMIT, 0);
    const name = NAMES[state];
    if (before !== state && name !== undefined) this.#onChange?.(name);
  }
}
