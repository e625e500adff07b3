// HPACK: header blocks of one connection, one behind the other, each relayed by our encoder to a decoder of ours, which must read the
// same fields; and the Huffman code, in which no text has two codes.
import assert from "node:assert/strict";

import { HeaderBlock } from "#lib/http/header-block.ts";
import { HpackDecoder } from "#proxy/http2/hpack-decoder.ts";
import { HpackEncoder } from "#proxy/http2/hpack-encoder.ts";
import { decodeHuffman, encodeHuffman, scanHuffman, scanPlain } from "#proxy/http2/huffman.ts";

import { blur, type Target } from "../target.ts";
import { BLOCKS } from "./frames.ts";

/** What an HTTP/1 connection keeps for itself does not go on. */
const HOP: ReadonlySet<string> = new Set(
  "connection keep-alive proxy-connection transfer-encoding upgrade te http2-settings".split(" "),
);
/** Never in a table that several clients share (contracts.md: HPACK relay). */
const SECRETS: ReadonlySet<string> = new Set(["authorization", "cookie", "set-cookie"]);

/** The input is blocks, each behind its length (one octet). */
function cutBlocks(input: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < input.length;) {
    const end = Math.min(input.length, at + 1 + (input[at] ?? 0));
    blocks.push(input.subarray(at, end));
    at = end;
  }
  return blocks;
}

export const hpack: Target = {
  name: "hpack",
  covers: ["/proxy/http2/hp", "/proxy/http2/hu", "/proxy/http2/head-facts", "/lib/http/header-block.ts"],
  words: BLOCKS,
  isLinear: true,
  seeds: () => [
    Buffer.concat(BLOCKS.slice(0, 6).flatMap((block) => [Buffer.from([block.length]), block])),
    Buffer.concat(BLOCKS.slice(18, 24).flatMap((block) => [Buffer.from([block.length]), block])),
  ],
  run(input) {
    const decoder = new HpackDecoder(4096, 4096, 40);
    const encoder = new HpackEncoder(4096);
    const reader = new HpackDecoder(4096, 65536, 1000);
    const words: string[] = [];
    for (const bytes of cutBlocks(input)) {
      const head = new HeaderBlock();
      if (!decoder.decode(bytes, 1, bytes.length, head)) return blur(`${words.join()} broken`);
      const { facts } = decoder;
      words.push(`${head.length} ${facts.problem} ${facts.isTooLarge}`);
      if (facts.problem !== "" || facts.isTooLarge) continue;
      const before: string[] = [];
      head.forEach((name, value) => {
        assert.ok(!/[\r\n\0]/.test(value) && !/[\r\n\0 A-Z]/.test(name), `${name} was let through`);
        if (!HOP.has(name)) before.push(`${name}: ${value}`);
      });
      const out = Buffer.alloc(encoder.bound(head) + 1);
      const end = encoder.encode(head, out, 1, false);
      assert.ok(end <= out.length, "the bound was too low");
      const back = new HeaderBlock();
      assert.ok(reader.decode(out, 1, end, back), "what was encoded cannot be decoded");
      const after: string[] = [];
      back.forEach((name, value) => {
        if (!HOP.has(name)) after.push(`${name}: ${value}`);
      });
      assert.deepEqual(after.toSorted(), before.toSorted());
      for (let i = 0; i < back.length; i++)
        assert.ok(
          !SECRETS.has(back.nameAt(i)) || (back.flagsAt(i) & 4) === 0,
          `${back.nameAt(i)} was put into a table`,
        );
    }
    return blur(words.join());
  },
};

export const huffman: Target = {
  name: "huffman",
  covers: ["/proxy/http2/huffman.ts"],
  isLinear: true,
  seeds: () => ["", "www.example.com", "a b\tc", "\0\r\n\xff"].map((text) => encodeHuffman(text)),
  run(input) {
    const scan = scanHuffman(input, 0, input.length);
    const text = input.toString("latin1");
    const own = encodeHuffman(text);
    assert.equal(decodeHuffman(own, 0, own.length), text);
    const [plain, coded] = [scanPlain(input, 0, input.length), scanHuffman(own, 0, own.length)];
    assert.equal(plain, coded, "a scan of text and one of its code say different things");
    if (scan < 0) return "refused";
    const decoded = decodeHuffman(input, 0, input.length);
    assert.equal(decoded.length, scan >>> 4);
    assert.ok(encodeHuffman(decoded).equals(input), "a text with two codes");
    return `${scan & 15}`;
  },
};
