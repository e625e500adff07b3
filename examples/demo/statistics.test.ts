// The statistical bounds are what the textbooks say.
import assert from "node:assert/strict";
import { test } from "node:test";
import { binomialRange, leastUniformMean, mean, median, minimumOfUniform } from "./statistics.ts";

test("the binomial range is exact where it can be counted by hand", () => {
  // 10 fair coins: P(0) + P(10) = 2/1024 and P(<=1) = 11/1024.
  assert.deepEqual(binomialRange(10, 0.5, 0.01), { low: 1, high: 9 });
  assert.deepEqual(binomialRange(10, 0.5, 0.0215), { low: 2, high: 8 });
  assert.deepEqual(binomialRange(10, 0.5, 0.0001), { low: 0, high: 10 });
});

test("the binomial range for a canary is within six sigma of the mean", () => {
  const { low, high } = binomialRange(4000, 0.1);
  const sigma = Math.sqrt(4000 * 0.1 * 0.9);
  assert.ok(low > 400 - 6 * sigma && low < 400 - 5 * sigma, `low ${low}`);
  assert.ok(high < 400 + 6.5 * sigma && high > 400 + 5 * sigma, `high ${high}`);
});

test("weights of nothing and of everything leave no room for chance", () => {
  assert.deepEqual(binomialRange(100, 0), { low: 0, high: 0 });
  assert.deepEqual(binomialRange(100, 1), { low: 100, high: 100 });
});

function evenly(low: number, high: number): number[] {
  return Array.from({ length: 200 }, (_, index) => low + ((high - low) * (index + 0.5)) / 200);
}

test("bounds of uniform draws hold for draws that are uniform, and fail for draws that are half as wide", () => {
  assert.ok(mean(evenly(0, 300)) >= leastUniformMean(200, 300));
  assert.ok(mean(evenly(0, 100)) < leastUniformMean(200, 300));
  assert.ok(Math.min(...evenly(0, 300)) < minimumOfUniform(200, 300));
  assert.ok(Math.min(...evenly(150, 300)) > minimumOfUniform(200, 300));
});

test("the median of an even number of values is between the two in the middle", () => {
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([3, 1, 2]), 2);
});
