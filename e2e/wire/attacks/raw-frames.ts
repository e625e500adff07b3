// Frames of HTTP/2 as an attacker writes them: nothing is checked, every field is what the caller says.

export const TYPE = {
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
  PRIORITY_UPDATE: 16,
} as const;

export const END_STREAM = 1;
export const ACK = 1;
export const END_HEADERS = 4;

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

const CODES = [
  "NO_ERROR",
  "PROTOCOL_ERROR",
  "INTERNAL_ERROR",
  "FLOW_CONTROL_ERROR",
  "SETTINGS_TIMEOUT",
  "STREAM_CLOSED",
  "FRAME_SIZE_ERROR",
  "REFUSED_STREAM",
  "CANCEL",
  "COMPRESSION_ERROR",
  "CONNECT_ERROR",
  "ENHANCE_YOUR_CALM",
  "INADEQUATE_SECURITY",
  "HTTP_1_1_REQUIRED",
];

export function nameOfCode(code: number): string {
  return CODES[code] ?? `0x${code.toString(16)}`;
}

export function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, payload]);
}

export function number(type: number, id: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return frame(type, 0, id, payload);
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [i, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frame(TYPE.SETTINGS, 0, 0, payload);
}

export function reset(id: number, code = 8): Buffer {
  return number(TYPE.RST_STREAM, id, code);
}

export function windowUpdate(id: number, increment: number): Buffer {
  return number(TYPE.WINDOW_UPDATE, id, increment);
}

export type Field = readonly [name: string, value: string];

/** HPACK literals without Huffman codes; `pattern` is 0x00 (not indexed), 0x10 (never) or 0x40 (enters the table). */
export function block(fields: readonly Field[], pattern = 0x00): Buffer {
  return Buffer.concat(
    fields.flatMap(([name, value]) => [
      Buffer.from([pattern]),
      integer(name.length, 7),
      Buffer.from(name, "latin1"),
      integer(value.length, 7),
      Buffer.from(value, "latin1"),
    ]),
  );
}

/** RFC 7541 §5.1; `pattern` are the bits above the prefix. */
export function integer(value: number, prefixBits: number, pattern = 0): Buffer {
  const max = 2 ** prefixBits - 1;
  if (value < max) return Buffer.from([pattern | value]);
  const bytes = [pattern | max];
  let left = value - max;
  for (; left >= 128; left = Math.floor(left / 128)) bytes.push((left % 128) | 128);
  bytes.push(left);
  return Buffer.from(bytes);
}

export function request(method: string, path: string, ...more: readonly Field[]): readonly Field[] {
  return [[":method", method], [":scheme", "http"], [":path", path], [":authority", "attack"], ...more];
}

export function headers(id: number, fields: readonly Field[], isEnd: boolean): Buffer {
  return frame(TYPE.HEADERS, END_HEADERS | (isEnd ? END_STREAM : 0), id, block(fields));
}

export function get(id: number, path = "/attack"): Buffer {
  return headers(id, request("GET", path), true);
}
