// A filter that paused: where it stands, what waits behind it, and how long it may take. Made at an exchange's first pause.
import type { Timer } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { HttpExchange } from "./exchange.ts";
import { replyFilterTimeout } from "./replies.ts";

/** The hook that paused. */
export type Phase = "request-head" | "routed" | "pick" | "response-head" | "request-data" | "response-data";

export class Pausing {
  isPaused = false;
  phase: Phase = "request-head";
  /** The filter's place among those that have the hook. */
  index = 0;
  /** The response's head, when the pause was there. */
  head: HeaderBlock | undefined = undefined;
  isHeadEnd = false;
  trailers: HeaderBlock | undefined = undefined;
  readonly #exchange: HttpExchange;
  #chunks: { readonly bytes: Buffer; readonly last: boolean }[] = [];
  #timer: Timer | undefined = undefined;
  #limitMs: number;

  constructor(exchange: HttpExchange) {
    this.#exchange = exchange;
    this.#limitMs = exchange.service.pauseTimeoutMs;
  }

  /** The next pause may be longer than what holds for all filters. */
  allow(ms: number): void {
    this.#limitMs = Math.max(ms + this.#exchange.service.pauseTimeoutMs, this.#limitMs);
  }

  /** The response waits. */
  get holdsResponse(): boolean {
    return this.isPaused && (this.phase === "response-head" || this.phase === "response-data");
  }

  begin(phase: Phase, index: number): void {
    this.isPaused = true;
    this.phase = phase;
    this.index = index;
    this.#timer?.cancel();
    const { service } = this.#exchange;
    const limitMs = this.#limitMs;
    this.#limitMs = service.pauseTimeoutMs;
    this.#timer = service.clock.setTimer(limitMs, () => this.#onTimeout(limitMs));
  }

  end(): void {
    this.isPaused = false;
    this.#timer?.cancel();
  }

  /** Keeps a copy of response bytes; they have no credit yet, so the sender's window bounds them. */
  keep(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.#chunks.push({ bytes: Buffer.from(bytes.subarray(start, end)), last });
  }

  /** What waits is of no use any more. */
  drop(): void {
    this.isPaused = false;
    this.#chunks = [];
    this.trailers = undefined;
  }

  takeChunks(): readonly { readonly bytes: Buffer; readonly last: boolean }[] {
    return this.#chunks.splice(0);
  }

  #onTimeout(limitMs: number): void {
    if (!this.isPaused) return;
    this.#exchange.answer(replyFilterTimeout(limitMs));
  }
}
