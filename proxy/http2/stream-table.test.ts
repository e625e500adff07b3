import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { Http2Stream, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const nobody = {} as StreamOwner; // as: the table asks nothing of a stream but its number

describe("the table of open streams", () => {
  it("answers as a Map does, whatever is opened and closed", () => {
    const id = fc.nat({ max: 200 }).map((n) => 2 * n + 1);
    const step = fc.oneof(fc.tuple(fc.constant("open"), id), fc.tuple(fc.constant("close"), id));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new StreamTable();
        const model = new Map<number, Http2Stream>();
        for (const [what, number] of steps) {
          if (what === "close") assert.equal(table.delete(number), model.delete(number));
          else if (!model.has(number)) {
            const stream = new Http2Stream(nobody, number, 0, 0, 0);
            table.add(stream);
            model.set(number, stream);
          }
          assert.equal(table.size, model.size);
          assert.equal(table.get(number), model.get(number));
        }
        for (let n = 1; n < 402; n += 2) assert.equal(table.get(n), model.get(n));
        assert.deepEqual(
          table.all().map((stream) => stream.id),
          [...model.keys()].sort((one, other) => one - other),
        );
      }),
    );
  });

  it("is empty when cleared, and can be filled again", () => {
    const table = new StreamTable();
    assert.equal(table.get(1), undefined);
    assert.equal(table.delete(1), false);
    table.add(new Http2Stream(nobody, 1, 0, 0, 0));
    table.clear();
    assert.equal(table.size, 0);
    assert.equal(table.get(1), undefined);
    table.add(new Http2Stream(nobody, 3, 0, 0, 0));
    assert.equal(table.get(3)?.id, 3);
  });
});
