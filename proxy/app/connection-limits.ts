// The limits of one downstream HTTP connection: idle time, slow heads, its age and the number of its requests.
import type { Clock, Timer } from "#lib/clock.ts";
import type { ServerCodec } from "#lib/http/stream.ts";

/** Ms; 0 = off. Envoy: the HTTP connection manager's common options. */
export interface ConnectionLimitSettings {
  readonly idleTimeoutMs: number;
  readonly requestHeadersTimeoutMs: number;
  /** Limits slow heads where `requestHeadersTimeoutMs` is off, as Envoy's does: a stream begins with its first byte. */
  readonly streamIdleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
}

/** What both server codecs can do beside the contract. */
export interface LimitedCodec extends ServerCodec {
  readonly isReadingHead: boolean;
  /** Ends gracefully, but closes no connection on which a request may be on its way. */
  retire(): void;
  /** Answers 408 where there is somebody to answer, and closes. */
  refuseSlowHead(): void;
}

/** So long an idle HTTP/1 connection that is to end waits for a last request, which gets `Connection: close`. */
const LAST_REQUEST_MS = 1000;
/** So long the rest of a request that was answered already is read and dropped; then its connection ends. */
const DISCARD_MS = 1000;

/**
 * One timer a limit; per request only a number is kept. An idle connection is found when its timer fires and nothing has run
 * since, so that requests never touch a timer.
 */
export class ConnectionLimits {
  readonly #clock: Clock;
  readonly #settings: ConnectionLimitSettings;
  readonly #afterEvents: (callback: () => void) => void;
  readonly #headTimeoutMs: number;
  #codec: LimitedCodec | undefined = undefined;
  #idleSinceMs: number;
  #streams = 0;
  #streamsAtHead = 0;
  #idleTimer: Timer | undefined = undefined;
  #headTimer: Timer | undefined = undefined;
  #ageTimer: Timer | undefined = undefined;
  #lastTimer: Timer | undefined = undefined;
  #discardTimer: Timer | undefined = undefined;

  /** `afterEvents` calls back when the sockets that have something to read have been read. */
  constructor(
    clock: Clock,
    settings: ConnectionLimitSettings,
    afterEvents: (callback: () => void) => void = setImmediate,
  ) {
    this.#clock = clock;
    this.#afterEvents = afterEvents;
    this.#settings = settings;
    const { requestHeadersTimeoutMs, streamIdleTimeoutMs } = settings;
    this.#headTimeoutMs = requestHeadersTimeoutMs > 0 ? requestHeadersTimeoutMs : streamIdleTimeoutMs;
    this.#idleSinceMs = clock.nowMs();
  }

  /** Starts the timers. */
  watch(codec: LimitedCodec): void {
    this.#codec = codec;
    const { idleTimeoutMs, maxConnectionDurationMs } = this.#settings;
    if (idleTimeoutMs > 0) this.#armIdle(idleTimeoutMs);
    if (maxConnectionDurationMs > 0) this.#ageTimer = this.#clock.setTimer(maxConnectionDurationMs, () => this.drain());
  }

  /**
   * Ends the connection without failing a request: GOAWAY; `Connection: close` with the answer that runs or comes next, and an
   * idle HTTP/1 connection closes when no request has come for a second.
   */
  drain(): void {
    const codec = this.#codec;
    if (codec === undefined) return;
    codec.retire();
    if (codec.protocol === "http1") this.#awaitLast(codec);
  }

  /** The connection is gone. */
  stop(): void {
    this.#idleTimer?.cancel();
    this.#headTimer?.cancel();
    this.#ageTimer?.cancel();
    this.#lastTimer?.cancel();
    this.#discardTimer?.cancel();
    this.#codec = undefined;
  }

  /** A request begins. */
  streamStarted(): void {
    this.#streams++;
    const limit = this.#settings.maxRequestsPerConnection;
    // HTTP/1 counts its own: it must know before it writes the head of the last answer.
    if (limit > 0 && this.#streams >= limit && this.#codec?.protocol === "http2") this.#codec.drain();
  }

  streamEnded(nowMs: number): void {
    this.#idleSinceMs = nowMs;
    const codec = this.#codec;
    if (codec !== undefined && codec.protocol === "http1" && codec.activeStreams > 0) this.#armDiscard(codec);
  }

  /** Bytes were read: has a head begun that is not complete? */
  received(): void {
    const codec = this.#codec;
    if (codec === undefined || this.#headTimeoutMs <= 0) return;
    if (!codec.isReadingHead) {
      this.#headTimer?.cancel();
      this.#headTimer = undefined;
    } else if (this.#headTimer === undefined) this.#armHead(codec);
    else if (this.#streams !== this.#streamsAtHead) {
      // That head came to its end within one read with the beginning of this one.
      this.#headTimer.cancel();
      this.#armHead(codec);
    }
  }

  #awaitLast(codec: LimitedCodec): void {
    this.#lastTimer?.cancel();
    this.#lastTimer = this.#clock.setTimer(LAST_REQUEST_MS, () => {
      // Timers run before the sockets are read: a request may lie there.
      this.#afterEvents(() => {
        if (this.#codec === undefined) return;
        if (codec.isReadingHead) this.#awaitLast(codec);
        else codec.drain();
      });
    });
  }

  #armHead(codec: LimitedCodec): void {
    this.#streamsAtHead = this.#streams;
    this.#headTimer = this.#clock.setTimer(this.#headTimeoutMs, () => {
      this.#headTimer = undefined;
      if (codec.isReadingHead) codec.refuseSlowHead();
    });
  }

  /** The answer is out, the request is not in: a client that drips its rest must not hold the connection. */
  #armDiscard(codec: LimitedCodec): void {
    const streams = this.#streams;
    this.#discardTimer?.cancel();
    this.#discardTimer = this.#clock.setTimer(DISCARD_MS, () => {
      if (codec.activeStreams > 0 && this.#streams === streams) codec.drain();
    });
  }

  #armIdle(delayMs: number): void {
    this.#idleTimer = this.#clock.setTimer(delayMs, () => {
      const { idleTimeoutMs } = this.#settings;
      const codec = this.#codec;
      if (codec === undefined) return;
      // A head that is on its way has a limit of its own.
      if (codec.activeStreams > 0 || this.#headTimer !== undefined) {
        this.#armIdle(idleTimeoutMs);
        return;
      }
      const leftMs = this.#idleSinceMs + idleTimeoutMs - this.#clock.nowMs();
      // Below a millisecond the timer was early by its own rounding.
      if (leftMs >= 1) this.#armIdle(leftMs);
      else this.drain();
    });
  }
}
