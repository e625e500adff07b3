// Requests that wait for their turn at a leaky bucket, in this worker: one queue for each bucket and key.
//
//   take -> turn known (shared by all workers) -> wait -> resume
//                                               -> gone: the place goes to whoever is behind
import type { Clock, Timer } from "#lib/clock.ts";

import type { Wait } from "./limiter.ts";

/** One that waits. */
export interface Waiter {
  readonly wait: Wait;
  resume(): void;
}

interface Queued {
  readonly waiter: Waiter;
  turnMs: number;
}

interface Queue {
  readonly waiting: Queued[];
  timer: Timer | undefined;
}

export class WaitingRoom {
  readonly #clock: Clock;
  readonly #queues = new Map<string, Queue>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  enter(waiter: Waiter, nowMs: number): void {
    const { queue: name, waitMs } = waiter.wait;
    let queue = this.#queues.get(name);
    if (queue === undefined) {
      queue = { waiting: [], timer: undefined };
      this.#queues.set(name, queue);
    }
    queue.waiting.push({ waiter, turnMs: nowMs + waitMs });
    if (queue.waiting.length === 1) this.#wake(name, queue, nowMs);
  }

  /** A request that waited is gone: those behind it move up by one, and the last place is free again if no other worker's follow. */
  leave(waiter: Waiter): void {
    const { queue: name, buckets, key, intervalMs } = waiter.wait;
    const queue = this.#queues.get(name);
    const index = queue?.waiting.findIndex((queued) => queued.waiter === waiter) ?? -1;
    if (queue === undefined || index < 0) return;
    const nowMs = this.#clock.nowMs();
    const { waiting } = queue;
    const last = waiting.at(-1)?.turnMs ?? nowMs;
    for (let i = waiting.length - 1; i > index; i--) {
      const [queued, before] = [waiting[i], waiting[i - 1]];
      if (queued !== undefined && before !== undefined) queued.turnMs = before.turnMs;
    }
    waiting.splice(index, 1);
    // The bucket is as full as its last request's turn is away: another's is later than ours when there is more than one interval.
    const end = nowMs + buckets.resetMs(key, nowMs) - intervalMs;
    if (end - last < intervalMs / 2) buckets.giveBack(key, nowMs);
    if (index === 0) this.#wake(name, queue, nowMs);
  }

  #wake(name: string, queue: Queue, nowMs: number): void {
    queue.timer?.cancel();
    const first = queue.waiting[0];
    if (first === undefined) {
      this.#queues.delete(name);
      return;
    }
    queue.timer = this.#clock.setTimer(Math.max(0, Math.ceil(first.turnMs - nowMs)), () => this.#onTurn(name, queue));
  }

  #onTurn(name: string, queue: Queue): void {
    const nowMs = this.#clock.nowMs();
    const due: Waiter[] = [];
    // A timer may be early by a part of a millisecond.
    while ((queue.waiting[0]?.turnMs ?? Infinity) <= nowMs + 0.5) {
      const queued = queue.waiting.shift();
      if (queued !== undefined) due.push(queued.waiter);
    }
    this.#wake(name, queue, nowMs);
    for (const waiter of due) waiter.resume();
  }
}
