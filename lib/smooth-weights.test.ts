import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { SmoothWeights } from "./smooth-weights.ts";

test("a heavy item has no turns in a row that others could have", () => {
  const turns = new SmoothWeights([5, 1, 1]);
  assert.deepEqual(
    Array.from({ length: 7 }, () => turns.next()),
    [0, 0, 1, 0, 2, 0, 0],
  );
});

test("in any window as long as the sum of the weights each item has its weight in turns, give or take one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
      fc.nat(100),
      (weights, from) => {
        const turns = new SmoothWeights(weights);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let i = 0; i < from; i++) turns.next();
        const counts = weights.map(() => 0);
        for (let i = 0; i < total; i++) {
          const index = turns.next();
          counts[index] = (counts[index] ?? 0) + 1;
        }
        for (const [index, weight] of weights.entries()) assert.ok(Math.abs((counts[index] ?? 0) - weight) <= 1);
        if (from === 0) assert.deepEqual(counts, weights);
      },
    ),
  );
});
