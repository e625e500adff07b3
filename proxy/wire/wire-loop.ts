// What all wires of one thread share: the read buffer, the slabs they write into, and the one flush at the end of a turn.
import type { Clock } from "#lib/clock.ts";

/** Slabs are small until more is asked for: thousands of connections that write a few bytes in one turn stay cheap. */
const SMALL_SLAB = 8 * 1024;
/** Room for the largest `reserve` (64 KiB) behind a head that was already written. */
const LARGE_SLAB = 80 * 1024;
const READ_BUFFER = 128 * 1024;
const OWN_BUFFER = 256 * 1024;
/** So many connections at a time have a read buffer of their own (8 MiB). */
const MAX_OWN_BUFFERS = 32;
/** Kept for later use; beyond it the garbage collector gets them (1 MiB and 2.5 MiB). */
const MAX_SMALL_KEPT = 128;
const MAX_LARGE_KEPT = 32;

/** What one connection may have read in one turn; libuv alone would read up to 32 buffers, 2 MiB, before anybody else has a go. */
export const TURN_BYTES = 256 * 1024;

/** What a connection with large reads reads into, instead of the buffer of all: sockets may take their time to write from it. */
export class OwnBuffer {
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(OWN_BUFFER);
  /** Writes that still need what is in it. */
  borrowers = 0;
  /** Its connection reads elsewhere: it is free when the last borrower is done. */
  isLeft = false;
}

/** Something that has had its share of a turn and goes on in the next. */
export interface Resumable {
  resumeTurn(): void;
}

/** Something with bytes to be written at the end of the turn. */
export interface Flushable {
  flushTurn(): void;
}

/** How accepted sockets are read: through the documented `onread` on a re-wrapped handle, or by 'data' events. */
export type AcceptMode = "handle" | "data";

export interface WireLoopOptions {
  readonly clock: Clock;
  readonly acceptMode: AcceptMode;
  /** How long `close` waits for the peer's FIN, in ms (Envoy's delayed_close_timeout: 1 s). */
  readonly lingerMs?: number;
}

/** One per thread (per mesh in tests). */
export class WireLoop {
  readonly clock: Clock;
  readonly acceptMode: AcceptMode;
  readonly lingerMs: number;
  /** Shared by all sockets: what is read is valid only during `onBytes`. */
  readonly readBuffer: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER);
  /** While a handler is given bytes of such a buffer: this one. */
  reading: OwnBuffer | undefined = undefined;
  #ownBuffers = 0;
  readonly #spareBuffers: OwnBuffer[] = [];
  #dirty: Flushable[] = [];
  #spare: Flushable[] = [];
  #isScheduled = false;
  /** Changes with each turn in which somebody asked. */
  #turn = 0;
  #isTurnKnown = false;
  #paused: Resumable[] = [];
  readonly #small: Buffer[] = [];
  readonly #large: Buffer[] = [];
  readonly #flushAll = (): void => this.flushAll();
  readonly #endTurn = (): void => {
    this.#isTurnKnown = false;
    this.#turn = (this.#turn + 1) | 0;
    const paused = this.#paused;
    if (paused.length === 0) return;
    this.#paused = [];
    for (const target of paused) target.resumeTurn();
  };

  constructor(options: WireLoopOptions) {
    this.clock = options.clock;
    this.acceptMode = options.acceptMode;
    this.lingerMs = options.lingerMs ?? 1000;
  }

  /** A number that is the same throughout one turn of the event loop, and then another. */
  get turn(): number {
    if (!this.#isTurnKnown) {
      this.#isTurnKnown = true;
      setImmediate(this.#endTurn);
    }
    return this.#turn;
  }

  /** Has `resumeTurn` called in the next turn. */
  scheduleResume(target: Resumable): void {
    this.#paused.push(target);
  }

  /** Has `flushTurn` called once when this turn's reads are done (`setImmediate` gathers writes across sockets). */
  scheduleFlush(target: Flushable): void {
    this.#dirty.push(target);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#flushAll);
  }

  /** Flushes now all that is scheduled; what is written meanwhile waits for the next turn. */
  flushAll(): void {
    const dirty = this.#dirty;
    this.#dirty = this.#spare;
    this.#isScheduled = false;
    for (let i = 0; i < dirty.length; i++) dirty[i]?.flushTurn();
    dirty.length = 0;
    this.#spare = dirty;
  }

  /** Undefined while too many connections have one. */
  takeOwnBuffer(): OwnBuffer | undefined {
    if (this.#ownBuffers === MAX_OWN_BUFFERS) return undefined;
    this.#ownBuffers++;
    return this.#spareBuffers.pop() ?? new OwnBuffer();
  }

  /** From a connection that reads elsewhere from now on. */
  leaveOwnBuffer(buffer: OwnBuffer): void {
    this.#ownBuffers--;
    buffer.isLeft = true;
    if (buffer.borrowers === 0) this.#keepSpare(buffer);
  }

  /** From a socket that has written what it borrowed. */
  returnOwnBuffer(buffer: OwnBuffer): void {
    buffer.borrowers--;
    if (buffer.borrowers === 0 && buffer.isLeft) this.#keepSpare(buffer);
  }

  /** A slab with room for at least `bytes` (at most 64 KiB). */
  takeSlab(bytes: number): Buffer {
    if (bytes <= SMALL_SLAB) return this.#small.pop() ?? Buffer.allocUnsafeSlow(SMALL_SLAB);
    if (bytes > LARGE_SLAB) throw new RangeError(`Cannot reserve ${bytes} bytes at once: the limit is ${LARGE_SLAB}`);
    return this.#large.pop() ?? Buffer.allocUnsafeSlow(LARGE_SLAB);
  }

  giveSlab(slab: Buffer): void {
    if (slab.length === SMALL_SLAB) {
      if (this.#small.length < MAX_SMALL_KEPT) this.#small.push(slab);
    } else if (slab.length === LARGE_SLAB && this.#large.length < MAX_LARGE_KEPT) this.#large.push(slab);
  }

  #keepSpare(buffer: OwnBuffer): void {
    buffer.isLeft = false;
    if (this.#spareBuffers.length < MAX_OWN_BUFFERS) this.#spareBuffers.push(buffer);
  }
}
