// Sends a body in the framing that the head announced, and sees that it keeps what the head promised.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { writeBytes } from "#lib/http/outbox.ts";
import type { Outbox } from "#lib/http/stream.ts";
import { writeEnd, writeFields, writeText } from "./head-writer.ts";
import { dropForbiddenTrailers } from "./trailer-fields.ts";

/** No body: what is sent is dropped (HEAD, 204, 304). */
export const NO_BODY = 0;
export const BY_LENGTH = 1;
export const CHUNKED = 2;
/** The bytes as they are, up to the end of the connection or of the tunnel. */
export const RAW = 3;

export class BodyWriter {
  framing = NO_BODY;
  /** Under BY_LENGTH: what the head still promises. */
  remaining = 0;
  isDone = false;

  start(framing: number, length = 0): void {
    this.framing = framing;
    this.remaining = length;
    this.isDone = false;
  }

  /** Undefined, or what is wrong with the length: then the message cannot be ended well. */
  write(out: Outbox, bytes: Buffer, start: number, end: number, last: boolean): string | undefined {
    const length = end - start;
    switch (this.framing) {
      case BY_LENGTH:
        if (length > this.remaining) return "the body is longer than its content-length";
        this.remaining -= length;
        writeBytes(out, bytes, start, end);
        if (last && this.remaining > 0) return "the body is shorter than its content-length";
        break;
      case CHUNKED:
        if (length > 0) {
          writeText(out, `${length.toString(16)}\r\n`);
          writeBytes(out, bytes, start, end);
          writeText(out, last ? "\r\n0\r\n\r\n" : "\r\n");
        } else if (last) writeText(out, "0\r\n\r\n");
        break;
      case RAW:
        writeBytes(out, bytes, start, end);
        break;
      default:
        break;
    }
    if (last) this.isDone = true;
    return undefined;
  }

  /** Ends the message with trailers where framing and peer allow them, else without. */
  writeTrailers(out: Outbox, trailers: HeaderBlock, isAllowed: boolean): string | undefined {
    if (this.framing === BY_LENGTH && this.remaining > 0) return "the body is shorter than its content-length";
    if (this.framing === CHUNKED) {
      writeText(out, "0\r\n");
      if (isAllowed) {
        dropForbiddenTrailers(trailers);
        writeFields(out, trailers, false);
      }
      writeEnd(out);
    }
    this.isDone = true;
    return undefined;
  }
}
