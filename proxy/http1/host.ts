// What the HTTP/1 codecs need of their connection beyond lib's CodecHost.
import type { CodecHost } from "#lib/http/stream.ts";

/** Tunnels (CONNECT, Upgrade) are half-closed one way at a time. */
export interface Http1Host extends CodecHost {
  /** Writes what is pending, then FIN; reading goes on. Without it the whole connection closes once both ways are over. */
  endWriting?(): void;
}

/** Unconsumed bytes of one stream above which the socket is not read, and below which it is read again. */
export const READ_HIGH_WATER = 64 * 1024;
export const READ_LOW_WATER = 32 * 1024;
