import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { LATENCY_HISTOGRAM_CELLS, LatencyHistogram } from "./latency-histogram.ts";

const make = (): LatencyHistogram => new LatencyHistogram(new Int32Array(LATENCY_HISTOGRAM_CELLS));

test("any percentile is within 10 % of the sorted samples' own", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 900_000_000 }), { minLength: 1, maxLength: 50 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (samples, share) => {
        const histogram = make();
        for (const sample of samples) histogram.add(sample);
        const sorted = samples.toSorted((left, right) => left - right);
        const exact = sorted[Math.max(0, Math.ceil(Math.max(1, share * samples.length)) - 1)] ?? 0;
        const found = histogram.quantile(share);
        assert.ok(found >= exact * 0.9 - 1 && found <= exact * 1.1 + 1, `${found} for ${exact}`);
      },
    ),
  );
});

test("what is cleared is gone, and what is longer than 1,000 s counts as that", () => {
  const histogram = make();
  assert.equal(histogram.quantile(0.5), 0);
  assert.equal(histogram.add(1e12), 1);
  assert.equal(histogram.quantile(0.5), 1e9);
  histogram.clear();
  assert.equal(histogram.count, 0);
});
