// Ranges of ports: read, turned round, listed.
import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { hasPort, otherPorts, parsePorts, tryListPorts } from "./ports.ts";

it("ports are read one by one and in ranges, and what is none is left out", () => {
  assert.deepEqual(parsePorts("80,8000-8100"), [
    { first: 80, last: 80 },
    { first: 8000, last: 8100 },
  ]);
  assert.deepEqual(parsePorts("*,none,,0,70000,9-8"), []);
});

it("each port is in the ranges or in the others, and never in both", () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const range = fc.tuple(port, port).map(([one, two]) => ({ first: Math.min(one, two), last: Math.max(one, two) }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 5 }), port, (ranges, one) => {
      assert.notEqual(hasPort(ranges, one), hasPort(otherPorts(ranges), one));
    }),
  );
});

it("a few ports are listed, once each, and a great many are not", () => {
  assert.deepEqual(tryListPorts(parsePorts("9,3-5,4")), [3, 4, 5, 9]);
  assert.equal(tryListPorts(parsePorts("1-257")), undefined);
  assert.equal(tryListPorts(parsePorts("1-200,300-400")), undefined);
});
