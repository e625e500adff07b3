import assert from "node:assert/strict";
import { test } from "node:test";
import { hashNumber, hashPair, hashString } from "./hash.ts";

test("the same text gives the same 32 bits, another seed others", () => {
  assert.equal(hashString("reviews"), hashString("reviews"));
  assert.notEqual(hashString("reviews"), hashString("reviews", 1));
  assert.notEqual(hashString("ab"), hashString("ba"));
});

test("similar keys fall evenly into 64 boxes", () => {
  for (const of of [
    (i: number) => hashString(`user-${i}`),
    (i: number) => hashPair(12345, i),
    (i: number) => hashNumber(i),
  ]) {
    const boxes = Array.from({ length: 64 }, () => 0);
    for (let i = 0; i < 64_000; i++) boxes[of(i) % 64] = (boxes[of(i) % 64] ?? 0) + 1;
    // Chi-square with 63 degrees of freedom: mean 63, deviation 11.2; six of them.
    const chi = boxes.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    assert.ok(chi < 131, `chi-square ${chi}`);
  }
});
