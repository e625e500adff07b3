// Finds where a body ends: by length, by chunks, or with the connection (RFC 9112 §6, §7).
import { HeaderBlock } from "#lib/http/header-block.ts";
import { Carry } from "./carry.ts";
import { CR, IS_VALUE, LF } from "./characters.ts";
import { FieldScan, INCOMPLETE, REFUSED, type HeadLimits } from "./field-scan.ts";
import { dropForbiddenTrailers } from "./trailer-fields.ts";
import { makeViolation, type Violation } from "./violation.ts";

/** What a body turns into. */
export interface BodySink {
  onBodyData(bytes: Buffer, start: number, end: number, last: boolean): void;
  onBodyTrailers(trailers: HeaderBlock): void;
  onBodyViolation(violation: Violation): void;
}

const DONE = 0;
const LENGTH = 1;
const SIZE = 2;
const EXTENSION = 3;
const SIZE_LF = 4;
const DATA = 5;
const DATA_CR = 6;
const DATA_LF = 7;
const TRAILERS = 8;
const UNTIL_CLOSE = 9;

/** Chunk sizes up to 2^48 - 1; more digits are refused, leading zeros included. */
const MAX_SIZE_DIGITS = 12;
/** Extensions mean nothing to anybody; a message may carry so many bytes of them in all. */
const MAX_EXTENSION_BYTES = 16 * 1024;
/** What follows the last chunk's data when there are no trailers. */
const END_OF_CHUNKS = Buffer.from("\r\n0\r\n\r\n");

/**
 *                            +-> EXTENSION -+
 *     start chunked -> SIZE -+--------------+-> SIZE_LF -> DATA -> DATA_CR -> DATA_LF -> SIZE
 *                                                  | size 0
 *                                                  +-> TRAILERS -> DONE
 */
export class BodyReader {
  #state = DONE;
  #remaining = 0;
  #digits = 0;
  #extensionBytes = 0;
  #carry: Carry | undefined = undefined;
  readonly #sink: BodySink;
  readonly #limits: HeadLimits;

  constructor(sink: BodySink, limits: HeadLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  get isDone(): boolean {
    return this.#state === DONE;
  }

  get isUntilClose(): boolean {
    return this.#state === UNTIL_CLOSE;
  }

  /** Bytes still to come, as far as is known: of the body or of the running chunk. */
  get remainingBytes(): number {
    return this.#remaining;
  }

  startLength(length: number): void {
    this.#state = length === 0 ? DONE : LENGTH;
    this.#remaining = length;
  }

  startChunked(): void {
    this.#state = SIZE;
    this.#remaining = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  startUntilClose(): void {
    this.#state = UNTIL_CLOSE;
  }

  /** Reads no more of this body. */
  stop(): void {
    this.#state = DONE;
    this.#carry = undefined;
  }

  /** Takes what belongs to the body; answers where it stopped: behind the message when `isDone`, else at `end`. */
  read(bytes: Buffer, start: number, end: number): number {
    let p = start;
    while (p < end) {
      switch (this.#state) {
        case DONE:
          return p;
        case LENGTH: {
          const length = Math.min(end - p, this.#remaining);
          this.#remaining -= length;
          const isLast = this.#remaining === 0;
          if (isLast) this.#state = DONE;
          this.#sink.onBodyData(bytes, p, p + length, isLast);
          p += length;
          break;
        }
        case UNTIL_CLOSE:
          this.#sink.onBodyData(bytes, p, end, false);
          return end;
        case DATA:
          p = this.#readData(bytes, p, end);
          break;
        case TRAILERS:
          p = this.#readTrailers(bytes, p, end);
          break;
        default:
          if (!this.#readByte(bytes[p++] ?? 0)) return end;
      }
    }
    return p;
  }

  #readData(bytes: Buffer, start: number, end: number): number {
    const length = Math.min(end - start, this.#remaining);
    const behind = start + length;
    this.#remaining -= length;
    if (this.#remaining === 0) {
      if (end - behind >= END_OF_CHUNKS.length && isEndOfChunks(bytes, behind)) {
        this.#state = DONE;
        this.#sink.onBodyData(bytes, start, behind, true);
        return behind + END_OF_CHUNKS.length;
      }
      this.#state = DATA_CR;
    }
    this.#sink.onBodyData(bytes, start, behind, false);
    return behind;
  }

  /** One byte of the framing between data. False: refused. */
  #readByte(byte: number): boolean {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(byte);
        if (digit >= 0) {
          if (++this.#digits > MAX_SIZE_DIGITS) return this.#refuse("a chunk size of more than 12 digits");
          this.#remaining = this.#remaining * 16 + digit;
          return true;
        }
        if (this.#digits === 0) return this.#refuse("a chunk without a size");
        if (byte === CR) this.#state = SIZE_LF;
        else if (byte === 0x3b) this.#state = EXTENSION;
        else return this.#refuse(`byte 0x${byte.toString(16).padStart(2, "0")} behind a chunk size`);
        return true;
      }
      case EXTENSION:
        if (byte === CR) {
          this.#state = SIZE_LF;
          return true;
        }
        if (IS_VALUE[byte] === 0) return this.#refuse("a control byte in a chunk extension");
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) return this.#refuse("too many bytes of chunk extensions");
        return true;
      case SIZE_LF:
        if (byte !== LF) return this.#refuse("a CR without LF behind a chunk size");
        this.#state = this.#remaining === 0 ? TRAILERS : DATA;
        return true;
      case DATA_CR:
        if (byte !== CR) return this.#refuse("chunk data longer than its size");
        this.#state = DATA_LF;
        return true;
      default:
        if (byte !== LF) return this.#refuse("a CR without LF behind chunk data");
        this.#state = SIZE;
        this.#digits = 0;
        return true;
    }
  }

  #readTrailers(bytes: Buffer, start: number, end: number): number {
    if (this.#carry === undefined) {
      const behind = this.#scanTrailers(bytes, start, end);
      if (behind !== INCOMPLETE) return behind === REFUSED ? end : behind;
      this.#carry = new Carry();
    }
    const carry = this.#carry;
    const p = carry.feed(bytes, start, end);
    if (carry.length > this.#limits.maxHeadBytes) this.#refuse("trailers too large", 431);
    else if (!carry.isWorthParsing || this.#scanTrailers(carry.buffer, 0, carry.length) === INCOMPLETE) return p;
    this.#carry = undefined;
    return this.isDone && this.#carry === undefined ? p : end;
  }

  #scanTrailers(bytes: Buffer, start: number, end: number): number {
    const trailers = new HeaderBlock();
    trailers.bytes = bytes;
    const scan = new FieldScan();
    const behind = scan.scan(bytes, start, end, trailers, this.#limits);
    if (behind === REFUSED) {
      this.#state = DONE;
      this.#sink.onBodyViolation(scan.violation ?? makeViolation(400, "an invalid trailer"));
    }
    if (behind < 0) return behind;
    if (behind - start > this.#limits.maxHeadBytes) {
      this.#refuse("trailers too large", 431);
      return REFUSED;
    }
    this.#state = DONE;
    dropForbiddenTrailers(trailers);
    if (trailers.length === 0) this.#sink.onBodyData(bytes, behind, behind, true);
    else this.#sink.onBodyTrailers(trailers);
    return behind;
  }

  #refuse(detail: string, status = 400): false {
    this.#state = DONE;
    this.#carry = undefined;
    this.#sink.onBodyViolation(makeViolation(status, detail));
    return false;
  }
}

function isEndOfChunks(bytes: Buffer, position: number): boolean {
  for (let i = 0; i < END_OF_CHUNKS.length; i++) if (bytes[position + i] !== END_OF_CHUNKS[i]) return false;
  return true;
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
