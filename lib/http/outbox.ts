// Bytes of any length into an outbox.
import type { Outbox } from "./stream.ts";

/** What `reserve` gives at once. */
const MAX_PIECE = 64 * 1024;
/** Below so many bytes the call out of JavaScript costs more than the loop. */
const SHORT = 48;
/** Above so many bytes a socket write of their own costs less than a copy. */
const LARGE = 32 * 1024;

/** Writes bytes of any length: large ones without a copy where the outbox may borrow them. */
export function writeBytes(out: Outbox, bytes: Buffer, start: number, end: number): void {
  if (end - start >= LARGE && out.borrow?.(bytes, start, end) === true) return;
  for (let from = start; from < end;) {
    const length = Math.min(end - from, MAX_PIECE);
    out.reserve(length);
    if (length <= SHORT) for (let i = 0; i < length; i++) out.buffer[out.position + i] = bytes[from + i] ?? 0;
    else bytes.copy(out.buffer, out.position, from, from + length);
    out.position += length;
    from += length;
  }
}
