// Values that come again: what is the same was checked, what only looks the same is checked anew.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { encodeHuffman, scanHuffman } from "./huffman.ts";
import { HeaderName } from "./hpack-names.ts";
import { RepeatedLiterals } from "./repeated-literals.ts";

const AUTHORIZATION = new HeaderName("authorization", 23);
const TOKEN = encodeHuffman(`Bearer ${"eyJhbGciOiJFUzI1NiIs".repeat(10)}`);

/** The scans of these values in turn, and how many of them were made. */
function scanAll(values: readonly Uint8Array[]): { readonly scans: readonly number[]; readonly checks: number } {
  const repeated = new RepeatedLiterals();
  let checks = 0;
  const scans = values.map((value) =>
    repeated.scan(AUTHORIZATION, value, 0, value.length, (bytes, start, end) => {
      checks++;
      return scanHuffman(bytes, start, end);
    }),
  );
  return { scans, checks };
}

describe("a literal that comes again", () => {
  it("is checked twice, and compared from then on", () => {
    const { scans, checks } = scanAll(Array.from({ length: 5 }, () => TOKEN));
    assert.equal(checks, 2);
    assert.deepEqual(new Set(scans), new Set([scanHuffman(TOKEN, 0, TOKEN.length)]));
  });

  it("is checked anew where one octet in its middle differs", () => {
    for (let at = 0; at < TOKEN.length; at++) {
      // A code of ones alone is EOS, which no string may hold.
      const forged = Buffer.from(TOKEN);
      forged.fill(0xff, at, Math.min(at + 5, forged.length));
      const { scans } = scanAll([TOKEN, TOKEN, TOKEN, forged, forged, TOKEN]);
      assert.equal(scans[3], scanHuffman(forged, 0, forged.length), String(at));
      assert.equal(scans[4], scans[3]);
      assert.equal(scans[5], scans[0]);
    }
  });

  it("is not taken for what was read into the same memory before", () => {
    const memory = Buffer.from(TOKEN);
    const repeated = new RepeatedLiterals();
    const scan = () => repeated.scan(AUTHORIZATION, memory, 0, memory.length, scanHuffman);
    for (let i = 0; i < 3; i++) assert.ok(scan() > 0);
    memory.fill(0xff, 40, 45);
    assert.equal(scan(), -1);
  });
});
