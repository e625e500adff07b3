import assert from "node:assert/strict";
import { test } from "node:test";
import { decayed, peakEwma } from "./ewma.ts";

test("a peak counts at once", () => {
  assert.equal(peakEwma(10, 500, 0, 10_000), 500);
});

test("a lower sample pulls down by how long ago the last one was", () => {
  assert.equal(peakEwma(100, 0, 0, 10_000), 100);
  assert.ok(Math.abs(peakEwma(100, 0, 10_000, 10_000) - 100 / Math.E) < 1e-9);
});

test("an untouched value fades", () => {
  assert.ok(Math.abs(decayed(100, 10_000, 10_000) - 100 / Math.E) < 1e-9);
  assert.equal(decayed(100, -5, 10_000), 100);
});
