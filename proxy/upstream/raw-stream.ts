// A bare wire as a stream of opaque bytes, so that tunnels look the same with and without a mesh hop.
import { writeBytes } from "#lib/http/outbox.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { toStreamError } from "#proxy/wire/codec-wire.ts";
import type { Wire, WireError, WireHandler } from "#proxy/wire/wire.ts";
import { makeWireError } from "#proxy/wire/wire-error.ts";

/** Bytes not yet passed on above which the wire is not read, and below which it is read again. */
const READ_HIGH_WATER = 64 * 1024;
const READ_LOW_WATER = 32 * 1024;
const EMPTY = Buffer.alloc(0);

export class RawStream implements HttpStream, WireHandler {
  readonly #wire: Wire;
  readonly #handler: StreamHandler;
  readonly #bufferLimitBytes: number;
  readonly #onClosed: () => void;
  #unconsumed = 0;
  #isReading = true;
  #isOver = false;
  #hasEnded = false;
  #hasPeerEnded = false;
  #needsDrain = false;

  /** Call `start` when somebody is ready to hear. */
  constructor(wire: Wire, handler: StreamHandler, bufferLimitBytes: number, onClosed: () => void) {
    this.#wire = wire;
    this.#handler = handler;
    this.#bufferLimitBytes = bufferLimitBytes;
    this.#onClosed = onClosed;
  }

  start(): void {
    this.#wire.attach(this);
  }

  get bufferedBytes(): number {
    return this.#wire.out.pendingBytes;
  }

  sendInformational(): void {
    // Opaque bytes have no heads.
  }

  sendHead(): void {
    // Opaque bytes have no heads.
  }

  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.#isOver || this.#hasEnded) return true;
    writeBytes(this.#wire.out, bytes, start, end);
    if (last) this.#end();
    const hasRoom = this.#wire.out.pendingBytes <= this.#bufferLimitBytes;
    if (!hasRoom) this.#needsDrain = true;
    return hasRoom;
  }

  sendTrailers(): void {
    if (!this.#isOver) this.#end();
  }

  reset(error: StreamError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Nothing went wrong: FIN instead of RST.
    if (error.code === H2_ERROR.NO_ERROR) this.#wire.close();
    else this.#wire.destroy(makeWireError("aborted", error.message));
  }

  consumed(bytes: number): void {
    this.#unconsumed -= bytes;
    if (this.#isReading || this.#unconsumed > READ_LOW_WATER) return;
    this.#isReading = true;
    this.#wire.setReading(true);
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#isOver) return;
    this.#unconsumed += end - start;
    if (this.#unconsumed > READ_HIGH_WATER && this.#isReading) {
      this.#isReading = false;
      this.#wire.setReading(false);
    }
    this.#handler.onData(bytes, start, end, false);
  }

  onEnd(): void {
    if (this.#isOver || this.#hasPeerEnded) return;
    this.#hasPeerEnded = true;
    this.#handler.onData(EMPTY, 0, 0, true);
    if (this.#hasEnded) this.#close();
  }

  onDrain(): void {
    if (this.#isOver || !this.#needsDrain) return;
    this.#needsDrain = false;
    this.#handler.onDrain();
  }

  onClose(error: WireError | undefined): void {
    if (!this.#isOver) {
      this.#isOver = true;
      const message = "The connection was closed before both sides had ended";
      this.#handler.onReset(
        error === undefined
          ? makeStreamError("transport", "connection", H2_ERROR.CANCEL, message)
          : toStreamError(error),
      );
    }
    this.#onClosed();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#wire.end();
    if (this.#hasPeerEnded) this.#close();
  }

  #close(): void {
    this.#isOver = true;
    this.#wire.close();
  }
}
