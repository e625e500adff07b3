import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { Base64Decoder, Base64Encoder, Base64Error } from "./base64.ts";

const pieces = fc.array(fc.uint8Array({ maxLength: 20 }));
const cuts = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 });

test("pieces that were encoded each for itself are decoded however the text was cut", () => {
  fc.assert(
    fc.property(pieces, cuts, (sent, lengths) => {
      const text = Buffer.from(sent.map((piece) => Buffer.from(piece).toString("base64")).join(""));
      const decoder = new Base64Decoder();
      const got: Buffer[] = [];
      for (let at = 0, i = 0; at < text.length; i++) {
        const end = Math.min(text.length, at + (lengths[i % lengths.length] ?? 1));
        got.push(decoder.decode(text, at, end, end === text.length));
        at = end;
      }
      assert.deepEqual(Buffer.concat(got), Buffer.concat(sent.map((piece) => Buffer.from(piece))));
    }),
  );
});

test("what is encoded in steps decodes to the same bytes, and each flush ends a group", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.uint8Array({ maxLength: 10 }), fc.boolean())), (steps) => {
      const encoder = new Base64Encoder();
      let text = "";
      for (const [bytes, flush] of steps) {
        text += encoder.encode(Buffer.from(bytes), 0, bytes.length, flush).toString();
        if (flush) assert.equal(text.length % 4, 0);
      }
      text += encoder.encode(Buffer.alloc(0), 0, 0, true).toString();
      const decoded = new Base64Decoder().decode(Buffer.from(text), 0, text.length, true);
      assert.deepEqual(decoded, Buffer.concat(steps.map(([bytes]) => Buffer.from(bytes))));
    }),
  );
});

test("what is no base64 is refused", () => {
  for (const text of ["AA", "A===", "AAA", "AA=A", "A\nAA", "AA-_", "====", "AAAA="]) {
    assert.throws(() => new Base64Decoder().decode(Buffer.from(text), 0, text.length, true), Base64Error, text);
  }
});
