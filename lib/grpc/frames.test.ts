import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { encodeFrame, FrameReader, FrameTooLargeError } from "./frames.ts";

test("messages come back however their bytes were cut", () => {
  const messages = fc.array(fc.record({ flags: fc.nat(255), message: fc.uint8Array({ maxLength: 40 }) }));
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, cuts) => {
      const all = Buffer.concat(sent.map(({ flags, message }) => encodeFrame(flags, message)));
      const reader = new FrameReader(40);
      const got = [];
      for (let at = 0, i = 0; at < all.length; i++) {
        const end = Math.min(all.length, at + (cuts[i % cuts.length] ?? 1));
        got.push(...reader.read(all, at, end));
        at = end;
      }
      assert.deepEqual(
        got.map(({ flags, message }) => ({ flags, message: [...message] })),
        sent.map(({ flags, message }) => ({ flags, message: [...message] })),
      );
      assert.equal(reader.pendingBytes, 0);
    }),
  );
});

test("a message beyond the limit is refused by its head, before it is kept", () => {
  const reader = new FrameReader(10);
  assert.throws(() => reader.read(Buffer.from([0, 0, 0, 0, 11]), 0, 5), FrameTooLargeError);
});
