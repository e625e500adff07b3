// Requests that wait for a connection, first come first served; leaving is O(1) from anywhere in the line.
import type { StreamHandler } from "#lib/http/stream.ts";
import type { OpenTicket, OpenWaiter } from "./contract.ts";

/** One that waits; it is its own ticket. */
export class Waiting implements OpenTicket {
  next: Waiting | undefined = undefined;
  previous: Waiting | undefined = undefined;
  isQueued = false;
  readonly handler: StreamHandler;
  readonly waiter: OpenWaiter;
  readonly #onCancel: (waiting: Waiting) => void;

  constructor(handler: StreamHandler, waiter: OpenWaiter, onCancel: (waiting: Waiting) => void) {
    this.handler = handler;
    this.waiter = waiter;
    this.#onCancel = onCancel;
  }

  cancel(): void {
    if (this.isQueued) this.#onCancel(this);
  }
}

export class WaiterQueue {
  length = 0;
  #first: Waiting | undefined = undefined;
  #last: Waiting | undefined = undefined;

  get first(): Waiting | undefined {
    return this.#first;
  }

  push(waiting: Waiting): void {
    waiting.isQueued = true;
    waiting.previous = this.#last;
    if (this.#last === undefined) this.#first = waiting;
    else this.#last.next = waiting;
    this.#last = waiting;
    this.length++;
  }

  shift(): Waiting | undefined {
    const first = this.#first;
    if (first !== undefined) this.remove(first);
    return first;
  }

  remove(waiting: Waiting): void {
    if (!waiting.isQueued) return;
    if (waiting.previous === undefined) this.#first = waiting.next;
    else waiting.previous.next = waiting.next;
    if (waiting.next === undefined) this.#last = waiting.previous;
    else waiting.next.previous = waiting.previous;
    waiting.next = undefined;
    waiting.previous = undefined;
    waiting.isQueued = false;
    this.length--;
  }
}
