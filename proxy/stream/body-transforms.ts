// What filters put between one message's body and its receiver: steps, each of which gets what the one before it gave.
import type { BodyTransform } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";
import { replyFilterError } from "./replies.ts";

export const NO_BYTES = Buffer.alloc(0);

export class BodyTransforms {
  readonly #exchange: HttpExchange;
  readonly #steps: BodyTransform[] = [];

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
  }

  get length(): number {
    return this.#steps.length;
  }

  /** A step waits for the body before the head may go. */
  get holdsHead(): boolean {
    return this.#steps.some((step) => step.holdsHead);
  }

  add(step: BodyTransform): void {
    this.#steps.push(step);
  }

  /** What goes on in place of these bytes, from the given step on; undefined = a step answered or failed, and the local reply is set. */
  data(bytes: Buffer, start: number, end: number, last: boolean, from = 0): Buffer | undefined {
    return this.#run(() => this.#data(from, bytes, start, end, last));
  }

  /** What ends the body; the trailers that are left are sent behind it. Undefined as for `data`. */
  trailers(trailers: HeaderBlock, from = 0): Buffer | undefined {
    return this.#run(() => this.#trailers(from, trailers));
  }

  #data(from: number, bytes: Buffer, start: number, end: number, last: boolean): Buffer {
    let given = bytes;
    let at = start;
    let to = end;
    for (let i = from; i < this.#steps.length; i++) {
      if (i > from && to === at && !last) return NO_BYTES;
      given = this.#steps[i]?.onData(given, at, to, last) ?? NO_BYTES;
      at = 0;
      to = given.length;
    }
    return given.length === to - at ? given : given.subarray(at, to);
  }

  #trailers(from: number, trailers: HeaderBlock): Buffer {
    let given: Buffer = NO_BYTES;
    for (let i = from; i < this.#steps.length; i++) {
      const step = this.#steps[i];
      if (step === undefined) continue;
      // The step before took all trailers out: for this one the body just ends.
      if (i > from && trailers.length === 0) return this.#data(i, given, 0, given.length, true);
      const before = given.length === 0 ? NO_BYTES : Buffer.from(step.onData(given, 0, given.length, false));
      const after = step.onTrailers(trailers);
      given = before.length === 0 ? after : Buffer.concat([before, after]);
    }
    return given;
  }

  /** There is no going on without a step: what it does not change the receiver would not understand. */
  #run(step: () => Buffer): Buffer | undefined {
    const exchange = this.#exchange;
    const replied = exchange.localReply;
    exchange.isInHook = true;
    try {
      const bytes = step();
      return exchange.localReply === replied ? bytes : undefined;
    } catch (error) {
      exchange.service.log.error("a filter threw", { requestId: exchange.requestId, error });
      exchange.localReply ??= replyFilterError("that changes bodies", error);
      return undefined;
    } finally {
      exchange.isInHook = false;
    }
  }
}
