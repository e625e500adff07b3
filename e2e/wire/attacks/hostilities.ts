// What a hostile HTTP/2 server does to each request.
import {
  ACK,
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  number,
  reset,
  settings,
  TYPE,
  windowUpdate,
} from "./raw-frames.ts";

export interface Hostility {
  /** Once for each request. */
  readonly first?: (id: number) => Buffer;
  /** And then as long as the connection takes it. */
  readonly flood?: (id: number) => Buffer;
}

const status = (id: number, code: string, flags = END_HEADERS): Buffer =>
  frame(TYPE.HEADERS, flags, id, block([[":status", code]]));

export const HOSTILITIES: Readonly<Record<string, Hostility>> = {
  "informational responses without end": { flood: (id) => status(id, "103") },
  "CONTINUATION without end": {
    first: (id) => status(id, "200", 0),
    flood: (id) => frame(TYPE.CONTINUATION, 0, id, block([["x", "y".repeat(1000)]])),
  },
  "a header bomb": {
    first: (id) =>
      Buffer.concat([
        frame(
          TYPE.HEADERS,
          0,
          id,
          Buffer.concat([block([[":status", "200"]]), block([["x", "b".repeat(4000)]], 0x40)]),
        ),
        frame(TYPE.CONTINUATION, END_HEADERS, id, Buffer.alloc(16_000, 0xbe)),
      ]),
  },
  "a head above the limit": {
    first: (id) => frame(TYPE.HEADERS, END_HEADERS, id, block([[":status", "200"], ...many(120)])),
  },
  "a pushed response": {
    first: (id) =>
      frame(TYPE.PUSH_PROMISE, END_HEADERS, id, Buffer.concat([Buffer.from([0, 0, 0, 2]), block([[":path", "/"]])])),
  },
  "a window above its maximum": {
    first: () => Buffer.concat([windowUpdate(0, 0x7fffffff), windowUpdate(0, 0x7fffffff)]),
  },
  "a stream's window above its maximum": { first: (id) => windowUpdate(id, 0x7fffffff) },
  "a window that opens by nothing": { first: (id) => windowUpdate(id, 0) },
  "DATA without a head": { first: (id) => frame(TYPE.DATA, END_STREAM, id, Buffer.from("x")) },
  "a reset of each stream": { first: (id) => reset(id) },
  "resets without end": { flood: (id) => reset(id) },
  "GOAWAY without end": { flood: () => frame(TYPE.GOAWAY, 0, 0, Buffer.alloc(8)) },
  "SETTINGS without end": { flood: () => settings([4, 65_535]) },
  "PING without end": { flood: () => frame(TYPE.PING, 0, 0, Buffer.alloc(8)) },
  "WINDOW_UPDATE without end": { flood: (id) => number(TYPE.WINDOW_UPDATE, id, 1) },
  "unknown frames without end": { flood: () => frame(0x77, 0, 0, Buffer.alloc(4)) },
  "a status that is none": { first: (id) => status(id, "2OO", END_HEADERS | END_STREAM) },
  "a head without a status": { first: (id) => frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id, block([["x", "y"]])) },
  "broken compression": { first: (id) => frame(TYPE.HEADERS, END_HEADERS, id, Buffer.alloc(20, 0xff)) },
  "another protocol": { first: () => Buffer.from("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") },
};

/** What a server says first. */
export const GREETING: Buffer = Buffer.concat([settings(), frame(TYPE.SETTINGS, ACK, 0)]);

function many(count: number): readonly (readonly [string, string])[] {
  return Array.from({ length: count }, (_, i) => [`x-${i}`, "v"] as const);
}
