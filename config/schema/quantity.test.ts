import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { quantityHint, quantityPattern, quantityValue, tryQuantity } from "./quantity.ts";

test("quantities are read as Kubernetes does", () => {
  const cases: [string, number][] = [
    ["100m", 0.1],
    ["64Ki", 65_536],
    ["1.5Gi", 1_610_612_736],
    ["1e3", 1000],
    ["1E", 1e18],
    ["12E2", 1200],
    ["2k", 2000],
    ["0", 0],
    [".5", 0.5],
    ["-1", -1],
    ["3n", 3e-9],
  ];
  for (const [text, value] of cases) assert.equal(tryQuantity(text), value, text);
});

test("what is no quantity is undefined", () => {
  for (const text of ["", "1 Gi", "1GB", "Mi", "1e", "0x10", "1K"]) assert.equal(tryQuantity(text), undefined, text);
  assert.throws(() => quantityValue("much"), TypeError);
});

test("every text of the pattern is a quantity, and no other unsigned one", () => {
  const pattern = new RegExp(quantityPattern);
  const text = fc
    .array(fc.constantFrom(..."0129.eEkKMGiumn+-".split("")), { maxLength: 6 })
    .map((letters) => letters.join(""));
  fc.assert(
    fc.property(text, (input) => {
      if (!/^[+-]/.test(input)) assert.equal(pattern.test(input), tryQuantity(input) !== undefined, input);
    }),
  );
});

test("a hint says what was probably meant", () => {
  assert.equal(quantityHint("10 MB"), 'did you mean "10M"?');
  assert.equal(quantityHint("1gib"), 'did you mean "1Gi"?');
  assert.equal(quantityHint("much"), "write it as 500m, 64Ki or 1Gi");
});
