// A request that must not be lost, between finding an idle connection and taking one: what its peer sent meanwhile is read first.
import type { StreamHandler } from "#lib/http/stream.ts";
import type { OpenTicket, OpenWaiter } from "./contract.ts";

/** The pool as it is asked again. */
export interface SecondLooker {
  open(handler: StreamHandler, waiter: OpenWaiter, firstLookMs: number): OpenTicket;
}

/**
 * The event loop writes at the end of a turn, when it has handled all events that it knew of at its beginning. A FIN that came
 * after that is seen only by the next turn, so such a request begins when that one's events have been handled.
 */
export class SecondLook implements OpenTicket {
  readonly #pool: SecondLooker;
  readonly #handler: StreamHandler;
  readonly #waiter: OpenWaiter;
  readonly #firstLookMs: number;
  #ticket: OpenTicket | undefined = undefined;
  #isCancelled = false;

  constructor(pool: SecondLooker, handler: StreamHandler, waiter: OpenWaiter, firstLookMs: number) {
    this.#firstLookMs = firstLookMs;
    this.#pool = pool;
    this.#handler = handler;
    this.#waiter = waiter;
  }

  run(): void {
    if (!this.#isCancelled) this.#ticket = this.#pool.open(this.#handler, this.#waiter, this.#firstLookMs);
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#ticket?.cancel();
  }
}
