// The length-prefixed messages of gRPC: one byte of flags, four of length, the message.

export const FRAME_HEAD_BYTES = 5;
/** gRPC-Web: the frame holds trailers (PROTOCOL-WEB.md). */
export const FLAG_TRAILERS = 0x80;

export interface Frame {
  readonly flags: number;
  readonly message: Buffer;
}

/** The frame of one message, in a buffer of its own. */
export function encodeFrame(flags: number, message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + message.length);
  frame[0] = flags;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, FRAME_HEAD_BYTES);
  return frame;
}

/** A message is larger than the reader may keep. */
export class FrameTooLargeError extends RangeError {
  constructor(bytes: number, limit: number) {
    super(`a gRPC message has ${bytes} bytes, more than the limit of ${limit}`);
  }
}

/** Puts messages together from bytes that are cut anywhere. Keeps at most one incomplete message of `maxBytes`. */
export class FrameReader {
  readonly #maxBytes: number;
  #kept: Buffer[] = [];
  #keptBytes = 0;
  /** Bytes that the frame under way has, as far as is known. */
  #wanted = FRAME_HEAD_BYTES;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The messages that these bytes complete; they are copies. Throws a `FrameTooLargeError`. */
  read(bytes: Buffer, start: number, end: number): readonly Frame[] {
    if (end > start) this.#kept.push(Buffer.from(bytes.subarray(start, end)));
    this.#keptBytes += end - start;
    if (this.#keptBytes < this.#wanted) return [];
    const all = this.#kept.length === 1 ? (this.#kept[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#kept);
    const frames: Frame[] = [];
    let at = 0;
    for (;;) {
      this.#wanted = FRAME_HEAD_BYTES;
      if (all.length - at < FRAME_HEAD_BYTES) break;
      const length = all.readUInt32BE(at + 1);
      if (length > this.#maxBytes) throw new FrameTooLargeError(length, this.#maxBytes);
      this.#wanted += length;
      if (all.length - at < this.#wanted) break;
      frames.push({ flags: all[at] ?? 0, message: all.subarray(at + FRAME_HEAD_BYTES, at + this.#wanted) });
      at += this.#wanted;
    }
    this.#kept = at === all.length ? [] : [all.subarray(at)];
    this.#keptBytes = all.length - at;
    return frames;
  }

  /** Bytes of a message that is not complete. */
  get pendingBytes(): number {
    return this.#keptBytes;
  }
}
