import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { diffJson, formatPointer } from "./json-patch.ts";
import { applyPatch } from "./testing/apply-patch.ts";

const name = fc.constantFrom("a", "b", "c", "d");
const leaf = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.boolean(), fc.constant(null), name);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("value"), { maxLength: 4 }),
    fc
      .uniqueArray(name)
      .chain((names) => fc.tuple(...names.map((one) => tie("value").map((other) => ({ name: one, other }))))),
    fc.dictionary(name, tie("value"), { noNullPrototype: true }),
  ),
}));

test("a patch leads from any value to any other", () => {
  fc.assert(
    fc.property(value, value, (before, after) => {
      assert.deepEqual(applyPatch(before, diffJson(before, after)), after);
    }),
    { numRuns: 500 },
  );
});

test("what did not change is not in the patch", () => {
  const before = { a: 1, list: [{ name: "x", v: 1 }, { name: "y" }], gone: true };
  const after = { a: 1, list: [{ name: "new" }, { name: "x", v: 2 }, { name: "y" }], "b/c~d": 1 };
  assert.deepEqual(
    diffJson(before, after).map((one) => [one.op, formatPointer(one.path)]),
    [
      ["remove", "/gone"],
      ["add", "/list/0"],
      ["replace", "/list/1/v"],
      ["add", "/b~1c~0d"],
    ],
  );
  assert.deepEqual(diffJson(before, structuredClone(before)), []);
});
