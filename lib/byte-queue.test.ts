import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { ByteQueue } from "./byte-queue.ts";

/** Bytes that differ from their neighbours, and from those of another time. */
let seed = 0;
function make(size: number): Buffer {
  seed += 7;
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed) & 255));
}

describe("a queue of bytes", () => {
  it("gives what it was given, in order, whatever the pieces; several share the chunks", () => {
    const size = fc.oneof(fc.nat({ max: 40 }), fc.nat({ max: 60_000 }));
    const step = fc.record({ queue: fc.nat({ max: 2 }), isPush: fc.boolean(), size });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const queues = [0, 1, 2].map(() => ({ queue: new ByteQueue(), model: Buffer.alloc(0) }));
        for (const { queue: which, isPush, size: bytes } of steps) {
          const chosen = queues[which];
          assert.ok(chosen !== undefined);
          if (isPush) {
            const piece = make(bytes);
            chosen.queue.push(piece, 0, piece.length);
            chosen.model = Buffer.concat([chosen.model, piece]);
            piece.fill(0);
          } else {
            const count = Math.min(bytes, chosen.model.length);
            const target = Buffer.alloc(count + 2);
            chosen.queue.shift(target, 1, count);
            assert.ok(target.subarray(1, count + 1).equals(chosen.model.subarray(0, count)));
            chosen.model = chosen.model.subarray(count);
          }
          assert.equal(chosen.queue.length, chosen.model.length);
        }
        for (const { queue, model } of queues) {
          const target = Buffer.alloc(model.length);
          queue.shift(target, 0, model.length);
          assert.ok(target.equals(model));
        }
      }),
    );
  });

  it("is empty when cleared, and refuses to give what it has not", () => {
    const queue = new ByteQueue();
    queue.push(make(40_000), 0, 40_000);
    queue.clear();
    assert.equal(queue.length, 0);
    assert.throws(() => queue.shift(Buffer.alloc(1), 0, 1), /not so many/);
  });
});
