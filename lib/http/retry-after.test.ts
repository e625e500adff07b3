import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { tryParseHttpDateMs, tryParseRetryAfterMs } from "./retry-after.ts";

const NOW = Date.UTC(1994, 10, 6, 8, 49, 0);

test("seconds are a wait", () => {
  assert.equal(tryParseRetryAfterMs("120", NOW), 120_000);
  assert.equal(tryParseRetryAfterMs(" 0 ", NOW), 0);
});

test("a date in each of the three forms is the wait until then", () => {
  for (const date of ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
    assert.equal(tryParseRetryAfterMs(date, NOW), 37_000, date);
});

test("a date that has passed is no wait", () => {
  assert.equal(tryParseRetryAfterMs("Sun, 06 Nov 1994 08:48:00 GMT", NOW), 0);
});

test("anything else is nothing", () => {
  for (const text of [
    "",
    "-1",
    "1.5",
    "soon",
    "1e3",
    "1994-11-06T08:49:37Z",
    "Sun, 99 Nov 1994 08:49:37 GMT",
    "9".repeat(13),
  ])
    assert.equal(tryParseRetryAfterMs(text, NOW), undefined, text);
});

test("every date that JavaScript writes comes back", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), (seconds) => {
      assert.equal(tryParseHttpDateMs(new Date(seconds * 1000).toUTCString()), seconds * 1000);
    }),
  );
});
