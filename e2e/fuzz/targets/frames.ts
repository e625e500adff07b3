// HTTP/2 frames as material: cutting a byte stream into them, changing one, and what a dialogue may hold.
import type { Random } from "#lib/random.ts";
import { FRAME } from "#proxy/http2/frame.ts";
import { encodeHuffman } from "#proxy/http2/huffman.ts";
import {
  data,
  frame,
  get,
  GET,
  headers,
  plainBlock,
  POST,
  settings,
  settingsAck,
  uint32,
} from "#proxy/http2/testing/frames.ts";

import { mutateBytes } from "../mutate.ts";
import { below, pick } from "../target.ts";

/** Whole frames, and what is left behind them. */
export function cutFrames(bytes: Buffer): { readonly frames: readonly Buffer[]; readonly rest: Buffer } {
  const frames: Buffer[] = [];
  let at = 0;
  while (at + 9 <= bytes.length) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  return { frames, rest: bytes.subarray(at) };
}

function huffmanField(name: string, value: string, first: number): Buffer {
  const [n, v] = [encodeHuffman(name), encodeHuffman(value)];
  return Buffer.concat([Buffer.from([first, 0x80 | n.length]), n, Buffer.from([0x80 | v.length]), v]);
}

/** Header blocks, right and wrong. */
export const BLOCKS: readonly Buffer[] = [
  plainBlock(GET),
  plainBlock(POST),
  plainBlock([["x-a", "b"]], 0x40),
  plainBlock([["x-a", "b\r\nc: d"]]),
  plainBlock([["x a", "b"]]),
  plainBlock([["Content-Length", "1"]]),
  plainBlock([["content-length", "5"]]),
  plainBlock([["transfer-encoding", "chunked"]]),
  plainBlock([["connection", "close"]]),
  plainBlock([["te", "trailers"]]),
  plainBlock([[":path", "/a b"]]),
  plainBlock([[":path", "*"]]),
  plainBlock([[":protocol", "websocket"]]),
  plainBlock([[":method", "CONNECT"]]),
  plainBlock([[":authority", "a@b"]]),
  plainBlock([["host", "other"]]),
  plainBlock([["cookie", "a=b"]], 0x10),
  plainBlock([["cookie", "c=d"]], 0x10),
  plainBlock([["x-raw", "\0\x01\x7f\x80\xff"]]),
  huffmanField("x-huffman", "text of some length", 0x40),
  huffmanField("x-huffman", "a\r\nb", 0x00),
  Buffer.from([0xbe]),
  Buffer.from([0xbf]),
  Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61]),
  Buffer.from([0x88]),
  Buffer.from([0x20]),
  Buffer.from([0x3f, 0xe1, 0x1f]),
  Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
];

export const FRAMES: readonly Buffer[] = [
  get(1),
  get(3),
  get(0xffff),
  headers(5, POST, false),
  headers(5, [...POST, ["content-length", "3"]], false),
  data(5, "abc", true),
  data(1, "abc", false),
  data(1, "", true),
  headers(5, [["x-trailer", "t"]], true),
  headers(1, [[":status", "200"]], false),
  headers(1, [[":status", "103"]], false),
  headers(3, [[":status", "204"]], true),
  settings(),
  settingsAck(),
  settings([1, 0]),
  settings([1, 65536]),
  settings([3, 0]),
  settings([4, 0]),
  settings([4, 0x7fffffff]),
  settings([5, 16384]),
  settings([8, 1]),
  uint32(FRAME.WINDOW_UPDATE, 0, 1),
  uint32(FRAME.WINDOW_UPDATE, 1, 0x7fffffff),
  uint32(FRAME.WINDOW_UPDATE, 5, 100),
  uint32(FRAME.RST_STREAM, 1, 8),
  uint32(FRAME.RST_STREAM, 3, 7),
  frame(FRAME.PING, 0, 0, Buffer.alloc(8)),
  frame(FRAME.GOAWAY, 0, 0, Buffer.alloc(8)),
  frame(FRAME.GOAWAY, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])),
  frame(FRAME.PRIORITY, 0, 1, Buffer.alloc(5)),
  frame(FRAME.HEADERS, 0, 7, plainBlock(GET)),
  frame(FRAME.CONTINUATION, 4, 7),
  frame(FRAME.HEADERS, 0x2d, 9, Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 1]), plainBlock(GET), Buffer.alloc(2)])),
  frame(FRAME.DATA, 0x9, 5, Buffer.from("\x02padded\0\0", "latin1")),
  frame(5, 4, 1, Buffer.alloc(8)),
  frame(0x42, 0xff, 0, Buffer.from("unknown")),
];

/** One change at a frame's boundary, in its head, or in its payload with the length made right again. */
export function mutateFrames(input: Buffer, random: Random): Buffer {
  const { frames, rest } = cutFrames(input);
  const list = [...frames];
  const i = below(random, list.length + 1);
  const chosen = list[i];
  switch (chosen === undefined ? 0 : below(random, 8)) {
    case 0:
      list.splice(i, 0, pick(random, FRAMES));
      break;
    case 1:
      list.splice(i, 1);
      break;
    case 2:
      list.splice(below(random, list.length), 0, chosen ?? rest);
      break;
    case 3:
      [list[i], list[list.length - 1]] = [list.at(-1) ?? rest, chosen ?? rest];
      break;
    case 4:
      list[i] = rebuild(chosen, (payload) => mutateBytes(payload, random, BLOCKS, BLOCKS));
      break;
    case 5:
      list[i] = rebuild(chosen, (payload) => Buffer.concat([payload, pick(random, BLOCKS)]));
      break;
    case 6:
      list[i] = rebuild(chosen, () => pick(random, BLOCKS));
      break;
    default: {
      const changed = Buffer.from(chosen ?? rest);
      const field = pick(random, [3, 4, 4, 8, 8]);
      if (field === 3) changed[3] = below(random, 11);
      else if (field === 4) changed[4] = (changed[4] ?? 0) ^ pick(random, [1, 4, 8, 0x20]);
      else changed[8] = below(random, 12);
      list[i] = changed;
    }
  }
  return Buffer.concat([...list, rest]);
}

/** The frame with another payload, and the length that this has. */
function rebuild(whole: Buffer | undefined, change: (payload: Buffer) => Buffer): Buffer {
  if (whole === undefined) return Buffer.alloc(0);
  const payload = change(whole.subarray(9)).subarray(0, 16_384);
  return frame(whole[3] ?? 0, whole[4] ?? 0, whole.readUInt32BE(5), payload);
}
