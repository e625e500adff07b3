// The request's body on its way upstream: waits while no stream is there, is kept for a retry while that is allowed, and gives
// credit back to the sender only for what went on (back-pressure end to end).
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream } from "#lib/http/stream.ts";

/** Bytes kept for retries: 64 KiB a request, 16 MiB a process (contracts.md: retries). */
export class ReplayBudget {
  readonly perRequestBytes: number;
  readonly totalBytes: number;
  #used = 0;

  constructor(perRequestBytes = 65_536, totalBytes = 16_777_216) {
    this.perRequestBytes = perRequestBytes;
    this.totalBytes = totalBytes;
  }

  get usedBytes(): number {
    return this.#used;
  }

  tryTake(bytes: number): boolean {
    if (this.#used + bytes > this.totalBytes) return false;
    this.#used += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}

/** Somebody who gets everything that goes upstream too, and whose slowness nobody waits for. */
export interface BodyCopy {
  onCopyData(bytes: Buffer, start: number, end: number, last: boolean): void;
  onCopyTrailers(trailers: HeaderBlock): void;
  /** The exchange is over, whether the body was complete or not. */
  onCopyOver(): void;
}

/** Who sent the body and hears how much of it has gone on. */
export type BodySource = Pick<HttpStream, "consumed">;

/** A body of which nothing has gone on. */
export interface TakenBack {
  readonly chunks: readonly Buffer[];
  readonly trailers: HeaderBlock | undefined;
  readonly isComplete: boolean;
}

const EMPTY = Buffer.alloc(0);

export class RequestBody {
  /** The whole request has come. */
  isComplete = false;
  /** Everything, end included, was handed to the current upstream stream. */
  isSent = false;
  bytes = 0;
  readonly #budget: ReplayBudget;
  #source: BodySource;
  #upstream: HttpStream | undefined;
  #isReplayable = false;
  #isHeld = false;
  #isBlocked = false;
  /** Kept chunks: all so far while replayable, else those that wait. */
  #chunks: Buffer[] = [];
  /** The first chunk that the current upstream has not got, and the first whose sender has no credit yet. */
  #next = 0;
  #uncredited = 0;
  #keptBytes = 0;
  /** Bytes that the upstream took beyond its high-water mark: credited when it drains. */
  #heldCredit = 0;
  #trailers: HeaderBlock | undefined;
  #copies: BodyCopy[] | undefined;

  constructor(source: BodySource, budget: ReplayBudget) {
    this.#source = source;
    this.#budget = budget;
  }

  /** Keeps what comes, and what waits already, for another attempt, within the budget. Call before the first attempt. */
  allowReplay(): void {
    const waiting = this.#waitingBytes();
    if (waiting !== this.bytes) return;
    this.#isReplayable = true;
    if (waiting > 0) this.#keepOrGiveUp(waiting);
  }

  /** From the first byte on; call before the first attempt. */
  addCopy(copy: BodyCopy): void {
    (this.#copies ??= []).push(copy);
    for (const [i, chunk] of this.#chunks.entries()) {
      const last = this.isComplete && this.#trailers === undefined && i === this.#chunks.length - 1;
      copy.onCopyData(chunk, 0, chunk.length, last);
    }
    if (this.#trailers !== undefined) copy.onCopyTrailers(this.#trailers);
    else if (this.isComplete && this.bytes > 0 && this.#chunks.length === 0) copy.onCopyData(EMPTY, 0, 0, true);
  }

  /** Gives everything back, to be received again in another form; call before the first attempt. From now on `source` gets the credit. */
  takeBack(source: BodySource): TakenBack {
    const taken = { chunks: this.#chunks, trailers: this.#trailers, isComplete: this.isComplete };
    this.#source = source;
    this.#chunks = [];
    this.#trailers = undefined;
    this.bytes = 0;
    return taken;
  }

  /** Another attempt can be given the whole body so far. */
  get canReplay(): boolean {
    return this.#isReplayable || this.bytes === this.#waitingBytes();
  }

  receive(bytes: Buffer, start: number, end: number, last: boolean): void {
    const size = end - start;
    this.bytes += size;
    if (last) this.isComplete = true;
    if (this.#copies !== undefined) for (const copy of this.#copies) copy.onCopyData(bytes, start, end, last);
    if (this.#isReplayable && size > 0) this.#keepOrGiveUp(size);
    const upstream = this.#upstream;
    if (upstream !== undefined && !this.#isReplayable && !this.#isHeld && this.#next === this.#chunks.length) {
      // Where the upstream has no room it keeps these itself; the sender gets no credit, so that little follows.
      if (last) this.isSent = true;
      this.#credit(upstream.sendData(bytes, start, end, last), size);
      return;
    }
    if (size > 0) {
      const kept = copyOf(bytes, start, end);
      // A first `push` would make room for sixteen more.
      if (this.#chunks.length === 0) this.#chunks = [kept];
      else this.#chunks.push(kept);
    }
    this.#flush();
  }

  receiveTrailers(trailers: HeaderBlock): void {
    trailers.detach();
    this.#trailers = trailers;
    this.isComplete = true;
    if (this.#copies !== undefined) for (const copy of this.#copies) copy.onCopyTrailers(trailers);
    this.#flush();
  }

  /** Sends what is kept to a new upstream stream, from the start. The head has been sent, without `end` unless `isEmpty`. */
  attach(upstream: HttpStream): void {
    this.#upstream = upstream;
    this.#next = 0;
    this.#isBlocked = false;
    this.isSent = this.isEmpty;
    this.#flush();
  }

  /** The stream is gone; what it took was taken. */
  detachUpstream(): void {
    this.#upstream = undefined;
    this.#isBlocked = false;
    this.#releaseHeldCredit();
  }

  /** The head alone is the request. */
  get isEmpty(): boolean {
    return this.isComplete && this.bytes === 0 && this.#trailers === undefined;
  }

  /** A filter paused in the body: nothing goes on until `resume`. */
  hold(): void {
    this.#isHeld = true;
  }

  resume(): void {
    this.#isHeld = false;
    this.#flush();
  }

  onUpstreamDrain(): void {
    this.#isBlocked = false;
    this.#releaseHeldCredit();
    this.#flush();
  }

  /** No retry can come any more: the kept bytes are freed as they go. */
  stopReplay(): void {
    if (!this.#isReplayable) return;
    this.#isReplayable = false;
    this.#budget.giveBack(this.#keptBytes);
    this.#keptBytes = 0;
    this.#dropSent();
  }

  /** The exchange is over; unsent bytes are credited so that the connection's window does not leak. */
  dispose(): void {
    this.stopReplay();
    if (this.#copies !== undefined) for (const copy of this.#copies) copy.onCopyOver();
    this.#upstream = undefined;
    let waiting = this.#heldCredit;
    for (let i = this.#uncredited; i < this.#chunks.length; i++) waiting += this.#chunks[i]?.length ?? 0;
    this.#heldCredit = 0;
    this.#chunks = [];
    this.#next = 0;
    this.#uncredited = 0;
    if (waiting > 0) this.#source.consumed(waiting);
  }

  #keepOrGiveUp(size: number): void {
    if (this.#keptBytes + size <= this.#budget.perRequestBytes && this.#budget.tryTake(size)) this.#keptBytes += size;
    else this.stopReplay();
  }

  #flush(): void {
    const upstream = this.#upstream;
    if (upstream === undefined || this.#isHeld || this.isSent) return;
    while (this.#next < this.#chunks.length && !this.#isBlocked) {
      const chunk = this.#chunks[this.#next] ?? EMPTY;
      this.#next++;
      const last = this.isComplete && this.#trailers === undefined && this.#next === this.#chunks.length;
      if (last) this.isSent = true;
      const hasRoom = upstream.sendData(chunk, 0, chunk.length, last);
      if (this.#next > this.#uncredited) {
        this.#uncredited = this.#next;
        this.#credit(hasRoom, chunk.length);
      } else if (!hasRoom) this.#isBlocked = true;
    }
    if (!this.#isReplayable) this.#dropSent();
    if (this.isSent || !this.isComplete || this.#next < this.#chunks.length) return;
    this.isSent = true;
    if (this.#trailers === undefined) upstream.sendData(EMPTY, 0, 0, true);
    else upstream.sendTrailers(this.#trailers);
  }

  #dropSent(): void {
    if (this.#next === 0) return;
    const gone = Math.min(this.#next, this.#uncredited);
    if (gone === this.#chunks.length) this.#chunks = [];
    else this.#chunks.splice(0, gone);
    this.#next -= gone;
    this.#uncredited -= gone;
  }

  #credit(hasRoom: boolean, bytes: number): void {
    if (hasRoom) {
      if (bytes > 0) this.#source.consumed(bytes);
      return;
    }
    this.#isBlocked = true;
    this.#heldCredit += bytes;
  }

  #releaseHeldCredit(): void {
    const held = this.#heldCredit;
    this.#heldCredit = 0;
    if (held > 0) this.#source.consumed(held);
  }

  #waitingBytes(): number {
    let sum = 0;
    for (const chunk of this.#chunks) sum += chunk.length;
    return sum;
  }
}

/** Without the second object that `Buffer.from` a part of another would make. */
function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start);
  bytes.copy(copy, 0, start, end);
  return copy;
}
