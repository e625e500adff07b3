// Keeps a head (or trailer) that came in pieces until its empty line is there.
import { CR, LF } from "./characters.ts";

const FIRST_SIZE = 1024;

/**
 * Each byte is looked at once here, however small the pieces are, so that a head sent byte by byte costs no more than its
 * length. What is handed out stays valid: every head gets a carry of its own.
 */
export class Carry {
  buffer: Buffer = Buffer.allocUnsafe(FIRST_SIZE);
  length = 0;
  /** Bytes other than CR since the last LF. */
  #lineLength = 0;
  #lines = 0;
  #last = 0;

  /** What is kept so far should be parsed: the head may be complete, or shows already that it must be refused. */
  isWorthParsing = false;

  /**
   * Copies up to the end of the first line, the next empty line, or a LF without CR, else to the end; answers where it stopped.
   */
  feed(bytes: Buffer, start: number, end: number): number {
    let p = start;
    let isWorth = false;
    while (p < end && !isWorth) {
      const byte = bytes[p++] ?? 0;
      if (byte === LF) {
        isWorth = this.#lineLength === 0 || this.#last !== CR || this.#lines === 0;
        this.#lineLength = 0;
        this.#lines++;
      } else if (byte !== CR) this.#lineLength++;
      this.#last = byte;
    }
    this.isWorthParsing = isWorth;
    this.#append(bytes, start, p);
    return p;
  }

  #append(bytes: Buffer, start: number, end: number): void {
    const needed = this.length + end - start;
    if (needed > this.buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
      this.buffer.copy(grown, 0, 0, this.length);
      this.buffer = grown;
    }
    bytes.copy(this.buffer, this.length, start, end);
    this.length = needed;
  }
}
