// Joins a codec to its wire: the codec's host on one side, the wire's handler on the other.
import type { Codec, CodecHost } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import type { Wire, WireError, WireHandler, WireOutbox } from "./wire.ts";

/** Told once, when the connection is gone; `error` is what the codec or the transport said, undefined after a clean end. */
export type OnCodecClosed = (error: StreamError | undefined) => void;

/** Make it, make the codec with it as host, then `bind`. */
export class CodecWire implements CodecHost, WireHandler {
  readonly wire: Wire;
  readonly #onClosed: OnCodecClosed;
  readonly #lingerMs: number | undefined;
  #codec: Codec | undefined = undefined;
  #error: StreamError | undefined = undefined;
  #isClosing = false;

  /** `lingerMs`: how long a close waits for the peer; undefined = the loop's default. */
  constructor(wire: Wire, onClosed: OnCodecClosed, lingerMs?: number) {
    this.wire = wire;
    this.#onClosed = onClosed;
    this.#lingerMs = lingerMs;
  }

  /** Starts reading; `firstBytes` were read while the protocol was found out. */
  bind(codec: Codec, firstBytes?: Buffer): void {
    this.#codec = codec;
    this.wire.attach(this);
    if (firstBytes !== undefined && firstBytes.length > 0) codec.receive(firstBytes, 0, firstBytes.length);
  }

  get out(): WireOutbox {
    return this.wire.out;
  }

  close(error: StreamError | undefined): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#error = error;
    this.wire.close(this.#lingerMs);
  }

  /** Half-close, for tunnels. */
  endWriting(): void {
    this.wire.end();
  }

  setReading(isReading: boolean): void {
    this.wire.setReading(isReading);
  }

  get turn(): number {
    return this.wire.turn;
  }

  rest(): void {
    this.wire.rest();
  }

  onTurn(): void {
    this.#codec?.onTurn?.();
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    this.#codec?.receive(bytes, start, end);
  }

  onEnd(): void {
    this.#codec?.receiveEnd();
  }

  onDrain(): void {
    this.#codec?.onSocketDrain();
  }

  onClose(error: WireError | undefined): void {
    const lost = this.#error ?? (error === undefined ? undefined : toStreamError(error));
    this.#codec?.connectionLost(
      lost ?? makeStreamError("transport", "connection", H2_ERROR.NO_ERROR, "The connection was closed"),
    );
    this.#onClosed(lost);
  }
}

/** What a lost connection means to the streams on it. */
export function toStreamError(error: WireError): StreamError {
  return makeStreamError("transport", "connection", H2_ERROR.INTERNAL_ERROR, error.message);
}
