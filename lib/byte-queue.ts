// Bytes that wait, first in, first out: copied in, copied out, in chunks that are used again.

/** Large pieces share chunks of this size; what is smaller than half of it gets a buffer of its own. */
const CHUNK_BYTES = 16_384;
const SMALL_BYTES = CHUNK_BYTES / 2;
/** Kept for the next queue of this thread: 2 MiB. */
const MAX_FREE = 128;

const free: Buffer[] = [];

/**
 * Memory that comes and goes with each piece of a large body is collected as often as it comes: V8 counts it towards its old
 * generation, and at 100 MiB/s ran a full collection ten times a second.
 */
export class ByteQueue {
  length = 0;
  #chunks: Buffer[] = [];
  /** The first chunk that holds something, and where in it that begins. */
  #index = 0;
  #offset = 0;
  /** How much of the last chunk is filled. */
  #filled = 0;

  /** Keeps a copy. */
  push(bytes: Buffer, start: number, end: number): void {
    this.length += end - start;
    for (let at = start; at < end;) {
      let last = this.#chunks.at(-1);
      if (last === undefined || this.#filled === last.length) {
        last =
          end - at < SMALL_BYTES ? Buffer.allocUnsafe(end - at) : (free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES));
        this.#chunks.push(last);
        this.#filled = 0;
      }
      const taken = bytes.copy(last, this.#filled, at, end);
      this.#filled += taken;
      at += taken;
    }
  }

  /** Moves the first `count` bytes, of which there must be so many, to `target`. */
  shift(target: Buffer, at: number, count: number): void {
    let to = at;
    const end = at + count;
    this.length -= count;
    while (to < end) {
      const chunk = this.#chunks[this.#index];
      if (chunk === undefined) throw new RangeError(`Cannot take ${count} bytes: there are not so many`);
      const taken = chunk.copy(target, to, this.#offset, Math.min(chunk.length, this.#offset + end - to));
      to += taken;
      this.#offset += taken;
      if (this.#offset < chunk.length) continue;
      giveBack(chunk);
      this.#index++;
      this.#offset = 0;
    }
    if (this.length === 0) this.clear();
    // Chunks that are empty are let go in batches, so that this stays cheap.
    else if (this.#index >= 16) {
      this.#chunks.splice(0, this.#index);
      this.#index = 0;
    }
  }

  clear(): void {
    for (let i = this.#index; i < this.#chunks.length; i++) {
      const chunk = this.#chunks[i];
      if (chunk !== undefined) giveBack(chunk);
    }
    this.#chunks = [];
    this.#index = 0;
    this.#offset = 0;
    this.#filled = 0;
    this.length = 0;
  }
}

function giveBack(chunk: Buffer): void {
  if (chunk.length === CHUNK_BYTES && free.length < MAX_FREE) free.push(chunk);
}
