// HPACK's Huffman code against the RFC's examples and against itself.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { CLASS_CONTROL, CLASS_SPACE, decodeHuffman, encodeHuffman, mayTouchBlank, scanHuffman } from "./huffman.ts";

describe("the Huffman code", () => {
  it("codes the examples of RFC 7541 C.4", () => {
    assert.equal(encodeHuffman("www.example.com").toString("hex"), "f1e3c2e5f23a6ba0ab90f4ff");
    assert.equal(encodeHuffman("no-cache").toString("hex"), "a8eb10649cbf");
    const bytes = Buffer.from("9d29ad171863c78f0b97c8e9ae82ae43d3", "hex");
    assert.equal(decodeHuffman(bytes, 0, bytes.length), "https://www.example.com");
  });

  it("decodes what it encodes, and a scan tells length and classes", () => {
    const octets = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
      maxLength: 60,
    });
    fc.assert(
      fc.property(octets, (text) => {
        const bytes = encodeHuffman(text);
        const scan = scanHuffman(bytes, 0, bytes.length);
        assert.equal(scan >> 4, text.length);
        // oxlint-disable-next-line no-control-regex -- these are what is looked for
        assert.equal((scan & CLASS_CONTROL) !== 0, /[\x00-\x08\x0a-\x1f\x7f]/.test(text));
        assert.equal((scan & CLASS_SPACE) !== 0, /[ \t]/.test(text));
        assert.equal(decodeHuffman(bytes, 0, bytes.length), text);
      }),
    );
  });

  it("never overlooks a blank at either end", () => {
    const middle = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
      maxLength: 20,
    });
    fc.assert(
      fc.property(fc.constantFrom("", " ", "\t"), middle, fc.constantFrom("", " ", "\t"), (before, text, behind) => {
        const bytes = encodeHuffman(before + text + behind);
        const has = /^[ \t]|[ \t]$/.test(before + text + behind);
        if (has) assert.ok(mayTouchBlank(bytes, 0, bytes.length));
      }),
      { numRuns: 2000 },
    );
    const plain = encodeHuffman("Mozilla/5.0 (X11; Linux x86_64)");
    assert.equal(mayTouchBlank(plain, 0, plain.length), false);
  });

  it("refuses EOS, padding of eight bits and padding with zeros", () => {
    for (const hex of ["ffffffff", "ffff", "1fff", "18"]) {
      const bytes = Buffer.from(hex, "hex");
      assert.equal(scanHuffman(bytes, 0, bytes.length), -1, hex);
    }
    assert.notEqual(scanHuffman(Buffer.from("1f", "hex"), 0, 1), -1);
  });

  it("never throws on random octets, and decodes what a scan accepted to the length it gave", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const scan = scanHuffman(bytes, 0, bytes.length);
        if (scan >= 0) assert.equal(decodeHuffman(bytes, 0, bytes.length).length, scan >> 4);
      }),
    );
  });
});
