// Frames by hand, for dialogues with a codec: a second, plain implementation that shares nothing with the codec but numbers.
import { FLAG, FRAME } from "../frame.ts";

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

export const PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(id, 5);
  return Buffer.concat([header, payload]);
}

export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [i, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, i * 6);
    payload.writeUInt32BE(value, i * 6 + 2);
  }
  return frame(FRAME.SETTINGS, 0, 0, payload);
}

export function settingsAck(): Buffer {
  return frame(FRAME.SETTINGS, FLAG.ACK, 0);
}

/** HPACK without tables and without Huffman codes; values up to 126 octets. `first` is the literal's pattern. */
export function plainBlock(fields: readonly (readonly [name: string, value: string])[], first = 0x00): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) =>
      Buffer.concat([
        Buffer.from([first, name.length]),
        Buffer.from(name, "latin1"),
        Buffer.from([value.length]),
        Buffer.from(value, "latin1"),
      ]),
    ),
  );
}

export function headers(id: number, fields: readonly (readonly [string, string])[], isEnd: boolean): Buffer {
  return frame(FRAME.HEADERS, FLAG.END_HEADERS | (isEnd ? FLAG.END_STREAM : 0), id, plainBlock(fields));
}

export function data(id: number, content: string | Uint8Array, isEnd: boolean): Buffer {
  return frame(FRAME.DATA, isEnd ? FLAG.END_STREAM : 0, id, Buffer.from(content));
}

export function uint32(type: number, id: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return frame(type, 0, id, payload);
}

export function get(id: number, ...more: readonly (readonly [string, string])[]): Buffer {
  return headers(id, [...GET, ...more], true);
}

export const GET: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "shop"],
];

export const POST: readonly (readonly [string, string])[] = [[":method", "POST"], ...GET.slice(1)];

function parseFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes.readUIntBE(at, 3);
    frames.push({
      type: bytes[at + 3] ?? 0,
      flags: bytes[at + 4] ?? 0,
      id: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return frames;
}

/** `HEADERS 1 END`, `DATA 1 5 END`, `RST_STREAM 1 0x8`, `GOAWAY 3 0x1`, `WINDOW_UPDATE 0 100`: a dialogue in words. */
export function describeFrames(bytes: Buffer): string[] {
  return parseFrames(bytes).map(({ type, flags, id, payload }) => {
    const name = Object.entries(FRAME).find(([, number]) => number === type)?.[0] ?? String(type);
    const end = (flags & FLAG.END_STREAM) !== 0 ? " END" : "";
    switch (type) {
      case FRAME.HEADERS:
        return `${name} ${id}${end}`;
      case FRAME.DATA:
        return `${name} ${id} ${payload.length}${end}`;
      case FRAME.RST_STREAM:
        return `${name} ${id} 0x${payload.readUInt32BE(0).toString(16)}`;
      case FRAME.WINDOW_UPDATE:
        return `${name} ${id} ${payload.readUInt32BE(0)}`;
      case FRAME.GOAWAY:
        return `${name} ${payload.readUInt32BE(0)} 0x${payload.readUInt32BE(4).toString(16)}`;
      case FRAME.SETTINGS:
      case FRAME.PING:
        return (flags & FLAG.ACK) !== 0 ? `${name} ACK` : name;
      default:
        return name;
    }
  });
}
