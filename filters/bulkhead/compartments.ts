// The compartments of one bulkhead: how many requests run in each and wait before it, in cells that data threads share.
import type { Clock, Timer } from "#lib/clock.ts";
import { KeyedSlots } from "#lib/keyed-slots.ts";

import type { SharedCounts } from "../filter.ts";

const RUNNING = 0;
const PENDING = 1;
const COUNTS = 2;
/** How often a thread with waiters looks for places that others gave back, ms. */
const LOOK_MS = 10;

/** Counts for so many keys, and for the one compartment of those that find no place. */
export function compartmentShares(maxKeys: number): number {
  return (maxKeys + 1) * COUNTS;
}

/** One request's stay. */
export interface Stay {
  readonly slot: number;
  state: "running" | "waiting" | "over";
  timer: Timer | undefined;
  /** Called once when it may run; it counts as running already. */
  readonly onTurn: () => void;
  readonly onTimeout: () => void;
}

/**
 *            a place is free                                      leave
 *   enter ------------------> running ----------------------------------------> over
 *     |                          ^  the first that waits gets the place            ^
 *     +----> waiting ------------+                                                |
 *     |          +----- maxWaitMs are over, or leave -----------------------------+
 *     +----> refused (no room to wait)
 *
 * Who waits in one thread is served in order; among threads, whoever looks first.
 */
export class Compartments {
  /** May change at any time: what is over a lowered limit runs out by itself. */
  limits: { readonly maxConcurrent: number; readonly maxPending: number; readonly maxWaitMs: number };
  readonly #clock: Clock;
  readonly #counts: SharedCounts;
  readonly #slots: KeyedSlots | undefined;
  readonly #rest: number;
  readonly #waiting = new Map<number, Stay[]>();
  #look: Timer | undefined = undefined;

  /** `counts` has `compartmentShares(maxKeys)`, `keyCells` `keyedSlotCells(maxKeys)`: undefined = one compartment for all. */
  constructor(limits: Compartments["limits"], clock: Clock, counts: SharedCounts, keyCells: Int32Array | undefined) {
    this.limits = limits;
    this.#clock = clock;
    this.#counts = counts;
    this.#rest = counts.total.length / COUNTS - 1;
    this.#slots = keyCells && new KeyedSlots(keyCells, (slot) => this.#isBusy(slot));
  }

  /** Running or waiting; undefined = there is no room. */
  enter(key: string, onTurn: () => void, onTimeout: () => void): Stay | undefined {
    const found = this.#slots?.slotOf(key, this.#clock.nowMs()) ?? this.#rest;
    const slot = found === -1 ? this.#rest : found;
    // Nobody overtakes those who wait in this thread.
    if (!this.#waiting.has(slot) && this.#tryAdd(slot, RUNNING, this.limits.maxConcurrent))
      return { slot, state: "running", timer: undefined, onTurn, onTimeout };
    const { maxPending, maxWaitMs } = this.limits;
    if (maxWaitMs === 0 || !this.#tryAdd(slot, PENDING, maxPending)) return undefined;
    const stay: Stay = { slot, state: "waiting", timer: undefined, onTurn, onTimeout };
    stay.timer = this.#clock.setTimer(maxWaitMs, () => {
      this.leave(stay);
      onTimeout();
    });
    const queue = this.#waiting.get(slot);
    if (queue === undefined) this.#waiting.set(slot, [stay]);
    else queue.push(stay);
    this.#keepLooking();
    return stay;
  }

  leave(stay: Stay): void {
    const { state, slot } = stay;
    stay.state = "over";
    stay.timer?.cancel();
    if (state === "waiting") this.#forget(stay);
    else if (state === "running") {
      this.#add(slot, RUNNING, -1);
      this.#serve(slot);
    }
  }

  /** In all compartments and threads. */
  get running(): number {
    return this.#sum(RUNNING);
  }

  get pending(): number {
    return this.#sum(PENDING);
  }

  #isBusy(slot: number): boolean {
    const { total } = this.#counts;
    return Atomics.load(total, slot * COUNTS + RUNNING) > 0 || Atomics.load(total, slot * COUNTS + PENDING) > 0;
  }

  /** Lets those who wait in, as many as there are places. */
  #serve(slot: number): void {
    for (;;) {
      const first = this.#waiting.get(slot)?.[0];
      if (first === undefined || !this.#tryAdd(slot, RUNNING, this.limits.maxConcurrent)) return;
      first.timer?.cancel();
      this.#forget(first);
      first.state = "running";
      // Not in the midst of the exchange that just ended, whose place this is.
      queueMicrotask(() => {
        if (first.state === "running") first.onTurn();
      });
    }
  }

  #forget(stay: Stay): void {
    const queue = this.#waiting.get(stay.slot);
    const at = queue?.indexOf(stay) ?? -1;
    if (queue === undefined || at === -1) return;
    queue.splice(at, 1);
    if (queue.length === 0) this.#waiting.delete(stay.slot);
    this.#add(stay.slot, PENDING, -1);
  }

  #keepLooking(): void {
    if (this.#look !== undefined || this.#waiting.size === 0) return;
    this.#look = this.#clock.setTimer(LOOK_MS, () => {
      this.#look = undefined;
      for (const slot of this.#waiting.keys()) this.#serve(slot);
      this.#keepLooking();
    });
  }

  #tryAdd(slot: number, which: number, most: number): boolean {
    const { total, own } = this.#counts;
    const at = slot * COUNTS + which;
    if (Atomics.add(total, at, 1) >= most) {
      Atomics.sub(total, at, 1);
      return false;
    }
    own[at] = (own[at] ?? 0) + 1;
    return true;
  }

  #add(slot: number, which: number, by: number): void {
    const { total, own } = this.#counts;
    const at = slot * COUNTS + which;
    own[at] = (own[at] ?? 0) + by;
    Atomics.add(total, at, by);
  }

  #sum(which: number): number {
    let sum = 0;
    for (let at = which; at < this.#counts.total.length; at += COUNTS) sum += Atomics.load(this.#counts.total, at);
    return sum;
  }
}
