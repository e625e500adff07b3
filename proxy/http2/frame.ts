// Frames of HTTP/2 (RFC 9113 §4.1, §6): their types, flags and nine-octet header.

export const FRAME = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** ACK and END_STREAM share a bit; they belong to different types. */
export const FLAG = { ACK: 0x1, END_STREAM: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 } as const;

export const FRAME_HEADER_BYTES = 9;
/** The largest payload that we accept and send: the protocol's default, never raised, for fairness between streams. */
export const MAX_FRAME_BYTES = 16384;
export const MAX_WINDOW_BYTES = 0x7fffffff;
export const MAX_STREAM_ID = 0x7fffffff;
export const DEFAULT_WINDOW_BYTES = 65535;
export const CLIENT_PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export function writeFrameHeader(
  out: Uint8Array,
  position: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  out[position] = length >>> 16;
  out[position + 1] = length >>> 8;
  out[position + 2] = length;
  out[position + 3] = type;
  out[position + 4] = flags;
  writeUint32(out, position + 5, streamId);
}

export function writeUint32(out: Uint8Array, position: number, value: number): void {
  out[position] = value >>> 24;
  out[position + 1] = value >>> 16;
  out[position + 2] = value >>> 8;
  out[position + 3] = value;
}

export function readUint32(bytes: Uint8Array, position: number): number {
  return readUint31(bytes, position) + ((bytes[position] ?? 0) >= 0x80 ? 0x80000000 : 0);
}

/** Without the highest bit, which is reserved in stream ids and increments. */
export function readUint31(bytes: Uint8Array, position: number): number {
  return (
    (((bytes[position] ?? 0) & 0x7f) << 24) |
    ((bytes[position + 1] ?? 0) << 16) |
    ((bytes[position + 2] ?? 0) << 8) |
    (bytes[position + 3] ?? 0)
  );
}
