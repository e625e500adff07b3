// Bytes into frames, wherever reads cut them: DATA passes on as it comes, every other frame arrives whole.
import { H2_ERROR } from "#lib/http/stream-error.ts";
import { FLAG, FRAME, FRAME_HEADER_BYTES, MAX_FRAME_BYTES, readUint31 } from "./frame.ts";

export interface FrameSink {
  /** A whole frame that is not DATA. */
  onFrame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** The header of a DATA frame; `length` counts padding too. */
  onDataStart(flags: number, streamId: number, length: number): void;
  /** Bytes of that frame's padding, its length octet included. */
  onPadding(bytes: number): void;
  /** A piece of that frame's content; `isFrameEnd`: the last one, which may be empty. */
  onDataPiece(bytes: Buffer, start: number, end: number, isFrameEnd: boolean): void;
  /** Framing itself is broken: the connection is lost. */
  onBadFrame(code: number, problem: string): void;
}

/*
 *   HEADER -> PAYLOAD -> HEADER                       (any frame that a read has cut)
 *          -> [PAD_LENGTH ->] CONTENT -> [PADDING ->] HEADER     (DATA)
 */
const HEADER = 0;
const PAYLOAD = 1;
const PAD_LENGTH = 2;
const CONTENT = 3;
const PADDING = 4;
const STOPPED = 5;

const EMPTY = Buffer.alloc(0);

export class FrameReader {
  /** Frames that may still begin. */
  framesLeft = Number.POSITIVE_INFINITY;
  readonly #sink: FrameSink;
  #state = HEADER;
  #header = EMPTY;
  #headerLength = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Octets of the current part still to come. */
  #left = 0;
  #padding = 0;
  #payload = EMPTY;
  #payloadLength = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** A read has cut a frame that holds a header block. */
  get isInsideHeaders(): boolean {
    return this.#state === PAYLOAD && (this.#type === FRAME.HEADERS || this.#type === FRAME.CONTINUATION);
  }

  /** Ignores all that follows. */
  stop(): void {
    this.#state = STOPPED;
  }

  /** Gives where it stopped: before `end` when `framesLeft` has come to 0. */
  read(bytes: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end) {
      switch (this.#state) {
        case HEADER:
          if (this.framesLeft <= 0) return at;
          at = this.#readHeader(bytes, at, end);
          break;
        case PAYLOAD:
          at = this.#readPayload(bytes, at, end);
          break;
        case PAD_LENGTH:
          this.#takePadLength(bytes, at++);
          break;
        case CONTENT:
          at = this.#readContent(bytes, at, end);
          break;
        case PADDING: {
          const taken = Math.min(this.#left, end - at);
          at += taken;
          this.#left -= taken;
          if (this.#left === 0) this.#state = HEADER;
          break;
        }
        default:
          return end;
      }
    }
    return at;
  }

  #readHeader(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#headerLength === 0 && end - at >= FRAME_HEADER_BYTES) {
      this.#parseHeader(bytes, at);
      at += FRAME_HEADER_BYTES;
    } else {
      if (this.#header.length === 0) this.#header = Buffer.alloc(FRAME_HEADER_BYTES);
      while (at < end && this.#headerLength < FRAME_HEADER_BYTES) this.#header[this.#headerLength++] = bytes[at++] ?? 0;
      if (this.#headerLength < FRAME_HEADER_BYTES) return at;
      this.#headerLength = 0;
      this.#parseHeader(this.#header, 0);
    }
    const length = this.#left;
    if (length > MAX_FRAME_BYTES) {
      this.#sink.onBadFrame(H2_ERROR.FRAME_SIZE_ERROR, `a frame of ${length} octets`);
      return end;
    }
    if (this.#type === FRAME.DATA) {
      this.#beginData(length);
      return at;
    }
    if (end - at >= length) {
      this.#sink.onFrame(this.#type, this.#flags, this.#streamId, bytes, at, at + length);
      return at + length;
    }
    this.#payload = Buffer.allocUnsafe(length);
    this.#payloadLength = 0;
    this.#state = PAYLOAD;
    return at;
  }

  #parseHeader(bytes: Buffer, at: number): void {
    this.framesLeft--;
    this.#left = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    this.#type = bytes[at + 3] ?? 0;
    this.#flags = bytes[at + 4] ?? 0;
    this.#streamId = readUint31(bytes, at + 5);
  }

  #readPayload(bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(this.#left, end - start);
    bytes.copy(this.#payload, this.#payloadLength, start, start + taken);
    this.#payloadLength += taken;
    this.#left -= taken;
    if (this.#left > 0) return end;
    const payload = this.#payload;
    this.#payload = EMPTY;
    this.#state = HEADER;
    this.#sink.onFrame(this.#type, this.#flags, this.#streamId, payload, 0, payload.length);
    return start + taken;
  }

  #beginData(length: number): void {
    const isPadded = (this.#flags & FLAG.PADDED) !== 0;
    if (isPadded && length === 0) {
      this.#sink.onBadFrame(H2_ERROR.FRAME_SIZE_ERROR, "padded DATA without a pad length");
      return;
    }
    this.#padding = 0;
    this.#state = isPadded ? PAD_LENGTH : CONTENT;
    this.#sink.onDataStart(this.#flags, this.#streamId, length);
    if (length === 0 && this.#state === CONTENT) this.#endContent(EMPTY, 0, 0);
  }

  #takePadLength(bytes: Buffer, at: number): void {
    const padding = bytes[at] ?? 0;
    this.#left--;
    if (padding > this.#left) {
      this.#sink.onBadFrame(H2_ERROR.PROTOCOL_ERROR, "more padding than DATA");
      return;
    }
    this.#padding = padding;
    this.#left -= padding;
    this.#state = CONTENT;
    this.#sink.onPadding(padding + 1);
    if (this.#left === 0 && this.#state === CONTENT) this.#endContent(EMPTY, 0, 0);
  }

  #readContent(bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(this.#left, end - start);
    this.#left -= taken;
    if (this.#left === 0) this.#endContent(bytes, start, start + taken);
    else this.#sink.onDataPiece(bytes, start, start + taken, false);
    return start + taken;
  }

  #endContent(bytes: Buffer, start: number, end: number): void {
    this.#state = this.#padding > 0 ? PADDING : HEADER;
    this.#left = this.#padding;
    this.#sink.onDataPiece(bytes, start, end, true);
  }
}
