import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffCeilingMs, fullJitterMs } from "./backoff.ts";
import { makeSeededRandom } from "./random.ts";

test("the ceiling grows as 2^N - 1 times the base, up to the cap", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((attempt) => backoffCeilingMs(attempt, 25, 250)),
    [25, 75, 175, 250, 250],
  );
});

test("an absurd attempt number stays at the cap", () => {
  assert.equal(backoffCeilingMs(100_000, 25, 250), 250);
});

test("there is no wait before the first try", () => {
  assert.equal(fullJitterMs(0, 25, 250, makeSeededRandom(1)), 0);
});

test("full jitter is spread over the whole range from zero", () => {
  const random = makeSeededRandom(7);
  const delays = Array.from({ length: 2000 }, () => fullJitterMs(3, 25, 250, random));
  assert.ok(delays.every((delay) => delay >= 0 && delay < 175));
  const mean = delays.reduce((sum, delay) => sum + delay, 0) / delays.length;
  // Uniform on [0, 175): mean 87.5, standard error 1.13; six of them.
  assert.ok(Math.abs(mean - 87.5) < 6.8, `mean ${mean}`);
  assert.ok(delays.some((delay) => delay < 10) && delays.some((delay) => delay > 165));
});
