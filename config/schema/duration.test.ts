import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { durationHint, durationMs, formatDuration, tryDurationMs } from "./duration.ts";

test("durations are read as GEP-2257 says", () => {
  const cases: [string, number][] = [
    ["0s", 0],
    ["500ms", 500],
    ["1h30m", 5_400_000],
    ["1m30s", 90_000],
    ["1s1s", 2000],
    ["99999h", 359_996_400_000],
  ];
  for (const [text, ms] of cases) assert.equal(tryDurationMs(text), ms, text);
});

test("what is no duration is undefined", () => {
  for (const text of ["", "5", "5 s", "1.5s", "-1s", "1d", "100000s", "1h1m1s1ms1s", "5S", "s", "1us"])
    assert.equal(tryDurationMs(text), undefined, text);
  assert.throws(() => durationMs("soon"), { name: "TypeError", message: 'Cannot parse duration: got "soon"' });
});

test("a duration survives being written and read", () => {
  fc.assert(
    fc.property(fc.nat({ max: 359_996_400_000 }), (ms) => {
      assert.equal(durationMs(formatDuration(ms)), ms);
    }),
  );
});

test("what cannot be written as a duration is refused", () => {
  for (const ms of [-1, 0.5, NaN, Infinity, 100_000 * 3_600_000])
    assert.throws(() => formatDuration(ms), RangeError, String(ms));
});

test("a hint says what was probably meant", () => {
  assert.equal(durationHint("5 sec"), 'did you mean "5s"?');
  assert.equal(durationHint("10 Minutes"), 'did you mean "10m"?');
  assert.equal(durationHint("1.5s"), 'there are no fractions: write "1s500ms"');
  assert.equal(durationHint("2 days"), 'days are written as hours: "48h"');
  assert.equal(durationHint(30), 'a duration has a unit: "30s" or "30ms"');
  assert.equal(durationHint("soon"), "write it as 500ms, 10s or 1h30m");
});

test("what a hint proposes is a duration itself", () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 99_999 }),
      fc.nat({ max: 999 }),
      fc.constantFrom("s", "sec", "min", "hours", "ms", "d", ""),
      (whole, part, unit) => {
        for (const text of [`${whole}${unit}`, `${whole}.${part} ${unit}`]) {
          for (const [, proposed = ""] of durationHint(text).matchAll(/"([^"]*)"/g))
            assert.ok(unit === "d" || tryDurationMs(proposed) !== undefined, `${text}: ${proposed}`);
        }
      },
    ),
  );
});
