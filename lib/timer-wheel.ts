// Many short timers that are nearly always cancelled: starting and cancelling one is a few field writes.
import type { Clock, Timer } from "./clock.ts";

/**
 * One timer; make it once per request (or be it, by extending it) and start it as often as needed. The fields are the
 * wheel's own: a doubly linked ring per slot.
 */
export abstract class WheelTimer {
  next: WheelTimer | undefined = undefined;
  previous: WheelTimer | undefined = undefined;
  dueTick = 0;

  /** The time has come. The timer is not running any more and may be started again. */
  abstract onTimer(): void;

  get isRunning(): boolean {
    return this.next !== undefined;
  }
}

class Head extends WheelTimer {
  onTimer(): void {
    throw new Error("The head of a slot is no timer");
  }
}

/**
 * A hashed wheel (Varghese and Lauck, scheme 6): a timer fires between its delay and one tick later, never early. It asks the
 * clock for one timer while anything runs, and for none when idle.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: Head[] = [];
  readonly #mask: number;
  #tick: number;
  #running = 0;
  #timer: Timer | undefined = undefined;

  /** `slotCount` must be a power of two. */
  constructor(clock: Clock, tickMs = 10, slotCount = 1024) {
    if (slotCount < 2 || (slotCount & (slotCount - 1)) !== 0)
      throw new RangeError(`Cannot make a timer wheel: slotCount must be a power of two: got ${slotCount}`);
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#mask = slotCount - 1;
    for (let i = 0; i < slotCount; i++) {
      const head = new Head();
      head.next = head;
      head.previous = head;
      this.#slots.push(head);
    }
    this.#tick = Math.floor(clock.nowMs() / tickMs);
  }

  /** Timers that run. */
  get size(): number {
    return this.#running;
  }

  /** Starts (or starts anew) a timer; `nowMs` spares a reading of the clock. */
  start(timer: WheelTimer, delayMs: number, nowMs: number = this.#clock.nowMs()): void {
    if (timer.next !== undefined) this.cancel(timer);
    if (this.#running === 0) this.#tick = Math.floor(nowMs / this.#tickMs);
    timer.dueTick = Math.max(Math.ceil((nowMs + Math.max(0, delayMs)) / this.#tickMs), this.#tick + 1);
    const head = this.#slots[timer.dueTick & this.#mask];
    if (head === undefined) return;
    const last = head.previous ?? head;
    timer.next = head;
    timer.previous = last;
    last.next = timer;
    head.previous = timer;
    this.#running++;
    if (this.#timer === undefined) this.#arm(nowMs);
  }

  /** Harmless when it is not running. */
  cancel(timer: WheelTimer): void {
    const { next, previous } = timer;
    if (next === undefined || previous === undefined) return;
    previous.next = next;
    next.previous = previous;
    timer.next = undefined;
    timer.previous = undefined;
    this.#running--;
    // The clock's own timer stays and finds nothing: cancelling it for each request would cost what the wheel saves.
  }

  #arm(nowMs: number): void {
    const delayMs = Math.max(0, (this.#tick + 1) * this.#tickMs - nowMs);
    this.#timer = this.#clock.setTimer(delayMs, () => this.#onClock());
  }

  #onClock(): void {
    this.#timer = undefined;
    const nowMs = this.#clock.nowMs();
    const target = Math.floor(nowMs / this.#tickMs);
    // After a stall longer than a whole turn every slot is looked at once.
    const from = Math.max(this.#tick + 1, target - this.#mask);
    this.#tick = target;
    for (let tick = from; tick <= target && this.#running > 0; tick++) this.#fire(tick & this.#mask, target);
    if (this.#running > 0 && this.#timer === undefined) this.#arm(nowMs);
  }

  #fire(slot: number, target: number): void {
    const head = this.#slots[slot];
    if (head === undefined) return;
    // What is due goes to a list of its own first: a callback may start and cancel timers in this slot.
    const due = new Head();
    due.next = due;
    due.previous = due;
    for (let timer = head.next; timer !== undefined && timer !== head;) {
      const { next } = timer;
      if (timer.dueTick <= target) move(timer, due);
      timer = next;
    }
    for (let timer = due.next; timer !== undefined && timer !== due; timer = due.next) {
      this.cancel(timer);
      timer.onTimer();
    }
  }
}

function move(timer: WheelTimer, list: Head): void {
  const { next, previous } = timer;
  if (next === undefined || previous === undefined) return;
  previous.next = next;
  next.previous = previous;
  const last = list.previous ?? list;
  timer.next = list;
  timer.previous = last;
  last.next = timer;
  list.previous = timer;
}
