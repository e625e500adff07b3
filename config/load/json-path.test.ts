import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatPath, tryParsePath } from "./json-path.ts";

test("a path reads as people write it", () => {
  assert.equal(formatPath(["spec", "rules", 2, "timeouts", "request"]), "spec.rules[2].timeouts.request");
  assert.equal(
    formatPath(["metadata", "labels", "app.kubernetes.io/name"]),
    'metadata.labels["app.kubernetes.io/name"]',
  );
  assert.equal(formatPath([]), "");
});

test("what formatPath writes, tryParsePath reads", () => {
  const step = fc.oneof(fc.nat(), fc.string(), fc.constantFrom("spec", "a.b/c", "x-y", '"', "\\"));
  fc.assert(
    fc.property(fc.array(step), (path) => {
      assert.deepEqual(tryParsePath(formatPath(path)), path);
    }),
  );
});

test("text that is no path is undefined", () => {
  for (const text of ["[", "a[x]", 'a["x]', "a b"]) assert.equal(tryParsePath(text), undefined, text);
});
