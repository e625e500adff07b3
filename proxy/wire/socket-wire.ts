// A wire on a net.Socket or tls.TLSSocket.
import type { Socket } from "node:net";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import type { Timer } from "#lib/clock.ts";
import { SocketOutbox } from "./socket-outbox.ts";
import type { Wire, WireError, WireHandler, WireTls } from "./wire.ts";
import { toWireError } from "./wire-error.ts";
import { SocketInfo } from "./wire-info.ts";
import { TURN_BYTES, type OwnBuffer, type Resumable, type WireLoop } from "./wire-loop.ts";

/** Reads below so many bytes go to the buffer of all. */
const SMALL_READ = 16 * 1024;

export interface SocketWireOptions {
  readonly originalDestination?: SocketAddress | undefined;
  readonly tls?: WireTls | undefined;
  /** Is asked for the addresses instead of the socket itself. */
  readonly transport?: Socket;
  /** The peer, where we connected to it. */
  readonly remote?: SocketAddress | undefined;
  /** Bytes come through `onread` (the callback calls `receive`) and not as 'data' events. */
  readonly usesOnread: boolean;
}

export class SocketWire implements Wire, Resumable {
  readonly out: SocketOutbox;
  readonly info: SocketInfo;
  readonly socket: Socket;
  bytesRead = 0;
  isClosed = false;
  #handler: WireHandler | undefined = undefined;
  readonly #dataListener = (bytes: Buffer): void => void this.receive(bytes, bytes.length);
  readonly #endListener = (): void => this.#onEnd();
  readonly #closeListener = (): void => this.#onClose();
  readonly #loop: WireLoop;
  readonly #usesOnread: boolean;
  #ownBuffer: OwnBuffer | undefined = undefined;
  #lastRead = 0;
  #isReading = false;
  #isReceiving = false;
  /** It has read its share of this turn. */
  #isResting = false;
  #turn = -1;
  #turnBytes = 0;
  #isAttached = false;
  #early: Buffer[] | undefined = undefined;
  #isClosing = false;
  #hasEnded = false;
  #hasPeerEnded = false;
  #error: WireError | undefined = undefined;
  #linger: Timer | undefined = undefined;

  constructor(loop: WireLoop, socket: Socket, options: SocketWireOptions) {
    this.#loop = loop;
    this.socket = socket;
    this.#usesOnread = options.usesOnread;
    this.info = new SocketInfo(options.transport ?? socket, options.originalDestination, options.tls, options.remote);
    this.out = new SocketOutbox(loop, socket, options.tls !== undefined, () => this.#handler?.onDrain());
    socket.on("end", this.#endListener);
    socket.on("error", (error) => {
      this.#error ??= toWireError(
        `Connection with ${formatAddress({ address: this.info.remoteAddress, port: this.info.remotePort })} failed`,
        error,
      );
    });
    socket.on("close", this.#closeListener);
  }

  get bytesWritten(): number {
    return this.out.bytesFlushed;
  }

  attach(handler: WireHandler): void {
    const isFirst = !this.#isAttached;
    this.#isAttached = true;
    this.#handler = handler;
    // Whoever had the wire before has heard of the end; the one that goes on with it must too.
    if (this.#hasPeerEnded) queueMicrotask(() => this.#tellEnd());
    if (this.#early !== undefined) queueMicrotask(() => this.#deliverEarly());
    if (this.isClosed) return;
    if (isFirst && !this.#usesOnread) this.socket.on("data", this.#dataListener);
    this.setReading(true);
  }

  /** From `onread` or 'data'; false = read no more for now. */
  receive(bytes: Buffer, length: number): boolean {
    this.#isReceiving = this.#usesOnread;
    this.#take(bytes, length);
    this.#isReceiving = false;
    return this.#isReading && !this.#isResting;
  }

  #take(bytes: Buffer, length: number): void {
    this.bytesRead += length;
    this.#lastRead = length;
    this.#countTurn(length);
    if (this.#isClosing || this.isClosed) return;
    if (this.#handler === undefined || this.#early !== undefined) {
      // TLS may have decrypted a record together with the last one of the handshake.
      this.#early ??= [];
      this.#early.push(Buffer.from(bytes.subarray(0, length)));
      return;
    }
    this.#loop.reading = this.#ownBuffer;
    this.#handler.onBytes(bytes, 0, length);
    this.#loop.reading = undefined;
  }

  /** Where the next bytes are to be read into after a read of so many; undefined = where these were. */
  nextBuffer(): Buffer | undefined {
    const own = this.#ownBuffer;
    const isLarge = this.#lastRead >= (own === undefined ? this.#loop.readBuffer.length : SMALL_READ);
    if (own === undefined ? !isLarge : isLarge && own.borrowers === 0) return undefined;
    this.#leaveOwnBuffer();
    if (isLarge && !this.isClosed) this.#ownBuffer = this.#loop.takeOwnBuffer();
    return this.#ownBuffer?.bytes ?? this.#loop.readBuffer;
  }

  setReading(isReading: boolean): void {
    if (this.#isReading === isReading || this.isClosed || this.#isClosing) return;
    this.#isReading = isReading;
    if (this.#isResting) return;
    if (isReading) this.socket.resume();
    else this.#pause();
  }

  get turn(): number {
    return this.#loop.turn;
  }

  rest(): void {
    if (this.#isResting || this.isClosed) return;
    this.#isResting = true;
    this.#pause();
    this.#loop.scheduleResume(this);
  }

  resumeTurn(): void {
    this.#isResting = false;
    this.#handler?.onTurn?.();
    if (this.#isReading && !this.#isResting && !this.isClosed) this.socket.resume();
  }

  end(): void {
    if (this.isClosed || this.#hasEnded) return;
    this.#hasEnded = true;
    this.out.flush();
    this.socket.end();
  }

  close(lingerMs: number = this.#loop.lingerMs): void {
    if (this.isClosed || this.#isClosing) return;
    this.end();
    this.setReading(true);
    this.#isClosing = true;
    if (lingerMs <= 0) this.socket.destroySoon();
    else this.#linger = this.#loop.clock.setTimer(lingerMs, () => this.socket.destroy());
  }

  destroy(error?: WireError): void {
    if (this.isClosed || this.socket.destroyed) return;
    this.#error ??= error;
    this.out.shut();
    // TLS has no RST of its own; its transport goes with it.
    if (error !== undefined && this.info.tls === undefined) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /**
   * Takes the socket out of the wire, for TLS on top of it: no handler is called any more. Bytes that were read must have
   * been put back with `socket.unshift`.
   */
  release(): Socket {
    this.#handler = undefined;
    this.isClosed = true;
    this.#leaveOwnBuffer();
    this.socket.pause();
    this.socket.off("data", this.#dataListener);
    this.socket.off("end", this.#endListener);
    this.socket.off("close", this.#closeListener);
    return this.socket;
  }

  /** One connection must not hold up all others: beyond its share of a turn it waits for the next. */
  #countTurn(length: number): void {
    const { turn } = this.#loop;
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#turnBytes = 0;
    }
    this.#turnBytes += length;
    if (this.#turnBytes >= TURN_BYTES) this.rest();
  }

  /** Node stops at once when `receive` says so, which costs less than a pause and a resume of the stream. */
  #pause(): void {
    if (!this.#isReceiving) this.socket.pause();
  }

  #leaveOwnBuffer(): void {
    if (this.#ownBuffer === undefined) return;
    this.#loop.leaveOwnBuffer(this.#ownBuffer);
    this.#ownBuffer = undefined;
  }

  #deliverEarly(): void {
    const early = this.#early;
    this.#early = undefined;
    for (const bytes of early ?? []) if (!this.#isClosing) this.#handler?.onBytes(bytes, 0, bytes.length);
  }

  #onEnd(): void {
    this.#hasPeerEnded = true;
    this.#tellEnd();
  }

  #tellEnd(): void {
    if (this.isClosed || this.#isClosing) return;
    if (this.#early !== undefined) this.#deliverEarly();
    this.#handler?.onEnd();
  }

  #onClose(): void {
    if (this.isClosed) return;
    this.#linger?.cancel();
    this.out.shut();
    // Closing was our own wish: a reset by the peer after that is no news.
    const error = this.#isClosing ? undefined : this.#error;
    this.isClosed = true;
    this.#leaveOwnBuffer();
    const handler = this.#handler;
    this.#handler = undefined;
    handler?.onClose(error);
  }
}
