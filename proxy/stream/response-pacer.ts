// Holds a response's body to a rate: what comes faster waits here, and its sender gets no credit for it meanwhile.
import type { Clock } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";

import type { UpstreamAttempt } from "./attempt.ts";

/** How often what waits is looked at; Envoy's limiter has slices as long. */
const SLICE_MS = 50;

/** Where it goes on to. */
export interface PacedSink {
  readonly clock: Clock;
  readonly isOver: boolean;
  sendPaced(
    attempt: UpstreamAttempt | undefined,
    credit: number,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void;
  sendPacedTrailers(trailers: HeaderBlock): void;
}

interface Waiting {
  readonly attempt: UpstreamAttempt | undefined;
  readonly credit: number;
  readonly bytes: Buffer;
  start: number;
  readonly last: boolean;
}

/** The first bytes get one slice's worth; a second's worth is saved at most, for senders that come in bursts (Envoy). */
export class ResponsePacer {
  readonly #sink: PacedSink;
  readonly #bytesPerMs: number;
  readonly #waiting: Waiting[] = [];
  #trailers: HeaderBlock | undefined = undefined;
  #allowed = -1;
  #filledMs = 0;
  #isTimed = false;

  constructor(sink: PacedSink, bytesPerSecond: number) {
    this.#sink = sink;
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Keeps a copy of what cannot go at once. */
  send(
    attempt: UpstreamAttempt | undefined,
    credit: number,
    bytes: Buffer,
    start: number,
    end: number,
    last: boolean,
  ): void {
    this.#waiting.push({ attempt, credit, bytes: Buffer.from(bytes.subarray(start, end)), start: 0, last });
    this.#flush();
  }

  /** Behind the body, wherever that is. */
  sendTrailers(trailers: HeaderBlock): void {
    trailers.detach();
    this.#trailers = trailers;
    this.#flush();
  }

  #flush(): void {
    if (this.#isTimed) return;
    this.#fill();
    while (!this.#sink.isOver) {
      const first = this.#waiting[0];
      if (first === undefined) break;
      const size = first.bytes.length - first.start;
      const part = Math.min(size, Math.floor(this.#allowed));
      if (part < size) {
        if (part > 0) this.#sink.sendPaced(undefined, 0, first.bytes, first.start, first.start + part, false);
        first.start += part;
        this.#allowed -= part;
        this.#wait();
        return;
      }
      this.#allowed -= size;
      this.#waiting.shift();
      this.#sink.sendPaced(first.attempt, first.credit, first.bytes, first.start, first.bytes.length, first.last);
    }
    const trailers = this.#trailers;
    this.#trailers = undefined;
    if (trailers !== undefined && !this.#sink.isOver) this.#sink.sendPacedTrailers(trailers);
  }

  #fill(): void {
    const nowMs = this.#sink.clock.nowMs();
    this.#allowed =
      this.#allowed < 0
        ? this.#bytesPerMs * SLICE_MS
        : Math.min(this.#allowed + (nowMs - this.#filledMs) * this.#bytesPerMs, this.#bytesPerMs * 1000);
    this.#filledMs = nowMs;
  }

  #wait(): void {
    this.#isTimed = true;
    this.#sink.clock.setTimer(SLICE_MS, () => {
      this.#isTimed = false;
      this.#flush();
    });
  }
}
