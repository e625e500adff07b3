// The writing half of a wire: bytes gather in a slab and go to the socket once per turn.
import type { Socket } from "node:net";
import type { WireOutbox } from "./wire.ts";
import { OwnBuffer, type Flushable, type WireLoop } from "./wire-loop.ts";

const EMPTY = Buffer.alloc(0);
const MAX_PIECE = 64 * 1024;
/** What is gathered over several slabs before it is written in the middle of a turn. */
const MAX_TOGETHER = 256 * 1024;

/**
 * The slab goes back to the loop as soon as the kernel has taken it in the same call, which is nearly always; else when the
 * write's callback comes. TLS never takes it in the same call.
 */
export class SocketOutbox implements WireOutbox, Flushable {
  buffer: Buffer = EMPTY;
  position = 0;
  bytesFlushed = 0;
  /** Called when everything pending has been taken. */
  onDrain: () => void;
  readonly #socket: Socket;
  readonly #loop: WireLoop;
  readonly #isAlwaysAsync: boolean;
  /** Slabs that are full, and how much each holds: they go with what follows in one write. */
  #full: Buffer[] | undefined = undefined;
  #lengths: number[] | undefined = undefined;
  #fullBytes = 0;
  #inFlight: (Buffer | OwnBuffer)[] | undefined = undefined;
  #onWritten: (() => void) | undefined = undefined;
  #isScheduled = false;
  #isShut = false;

  constructor(loop: WireLoop, socket: Socket, isAlwaysAsync: boolean, onDrain: () => void) {
    this.#loop = loop;
    this.#socket = socket;
    this.#isAlwaysAsync = isAlwaysAsync;
    this.onDrain = onDrain;
  }

  get pendingBytes(): number {
    return this.position + this.#fullBytes + this.#socket.writableLength;
  }

  reserve(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    if (this.position > 0) {
      // A small slab grows into a large one; a full large one leaves early.
      const grown = this.position + bytes;
      if (grown <= MAX_PIECE && this.buffer.length < MAX_PIECE) {
        const slab = this.#loop.takeSlab(MAX_PIECE);
        this.buffer.copy(slab, 0, 0, this.position);
        this.#loop.giveSlab(this.buffer);
        this.buffer = slab;
        return;
      }
      if (this.#isAlwaysAsync || this.#fullBytes + this.position >= MAX_TOGETHER) this.flush();
      else this.#setAside();
    } else if (this.buffer.length > 0) {
      this.#loop.giveSlab(this.buffer);
    }
    this.buffer = this.#loop.takeSlab(bytes);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#loop.scheduleFlush(this);
  }

  borrow(bytes: Buffer, start: number, end: number): boolean {
    const { reading } = this.#loop;
    const socket = this.#socket;
    if (reading === undefined || reading.bytes !== bytes || this.#isAlwaysAsync) return false;
    if (this.#isShut || socket.destroyed || socket.writableEnded) return false;
    this.bytesFlushed += end - start;
    const piece = bytes.subarray(start, end);
    if (this.position > 0 || this.#full !== undefined) {
      socket.cork();
      this.flush();
      socket.write(piece);
      socket.uncork();
    } else socket.write(piece);
    if (socket.writableLength === 0) return true;
    reading.borrowers++;
    this.#keep(reading);
    socket.write(EMPTY, this.#onWritten);
    return true;
  }

  flushTurn(): void {
    this.#isScheduled = false;
    if (this.position === 0 && this.#fullBytes === 0) this.#releaseBuffer();
    else this.flush();
    if (!this.#isShut && this.#socket.writableLength === 0) this.onDrain();
  }

  flush(): void {
    const length = this.position;
    if (length === 0 && this.#full === undefined) return;
    const socket = this.#socket;
    // What never left stays visible: the request in it provably reached nobody.
    if (socket.destroyed) return;
    if (this.#full !== undefined && this.#lengths !== undefined && !this.#isShut && !socket.writableEnded) {
      if (length > 0) this.#setAside();
      this.#flushTogether(this.#full, this.#lengths);
      return;
    }
    if (this.#isShut || socket.writableEnded) {
      this.discard();
      this.#releaseBuffer();
      return;
    }
    const slab = this.buffer;
    this.position = 0;
    this.buffer = EMPTY;
    this.bytesFlushed += length;
    const chunk = slab.subarray(0, length);
    if (this.#isAlwaysAsync) {
      this.#keep(slab);
      socket.write(chunk, this.#onWritten);
      return;
    }
    socket.write(chunk);
    if (socket.writableLength === 0) {
      this.#loop.giveSlab(slab);
      return;
    }
    // Not taken at once. A callback on every write would cost the fast path a tick each, so an empty write carries it.
    this.#keep(slab);
    socket.write(EMPTY, this.#onWritten);
  }

  /** A full slab waits for what follows: one write of several costs less, and wakes the peer once. */
  #setAside(): void {
    (this.#full ??= []).push(this.buffer);
    (this.#lengths ??= []).push(this.position);
    this.#fullBytes += this.position;
    this.position = 0;
    this.buffer = EMPTY;
  }

  #flushTogether(slabs: readonly Buffer[], lengths: readonly number[]): void {
    const socket = this.#socket;
    this.#full = undefined;
    this.#lengths = undefined;
    this.bytesFlushed += this.#fullBytes;
    this.#fullBytes = 0;
    socket.cork();
    for (const [i, slab] of slabs.entries()) socket.write(slab.subarray(0, lengths[i]));
    socket.uncork();
    const isTaken = socket.writableLength === 0;
    for (const slab of slabs) {
      if (isTaken) this.#loop.giveSlab(slab);
      else this.#keep(slab);
    }
    if (isTaken) return;
    // As many callbacks as slabs: each gives one back.
    for (let i = 0; i < slabs.length; i++) socket.write(EMPTY, this.#onWritten);
  }

  discard(): void {
    this.position = 0;
    for (const slab of this.#full ?? []) this.#loop.giveSlab(slab);
    this.#full = undefined;
    this.#lengths = undefined;
    this.#fullBytes = 0;
  }

  /** The socket is closing: what is written from now on is dropped; what was written and not flushed stays visible. */
  shut(): void {
    this.#isShut = true;
  }

  #keep(memory: Buffer | OwnBuffer): void {
    this.#inFlight ??= [];
    this.#inFlight.push(memory);
    this.#onWritten ??= () => this.#written();
  }

  #written(): void {
    const memory = this.#inFlight?.shift();
    // After an error the kernel may still read from it.
    if (memory !== undefined && !this.#socket.destroyed) {
      if (memory instanceof OwnBuffer) this.#loop.returnOwnBuffer(memory);
      else this.#loop.giveSlab(memory);
    }
    if (!this.#isShut && this.#socket.writableLength === 0 && this.position === 0) this.onDrain();
  }

  #releaseBuffer(): void {
    if (this.buffer.length === 0) return;
    this.#loop.giveSlab(this.buffer);
    this.buffer = EMPTY;
  }
}
