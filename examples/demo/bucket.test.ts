// The bucket's bounds hold for a true bucket however badly the calls were timed, and not for one that is wrong.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Outcome } from "../shop/load.ts";
import { bucketBounds } from "./bucket.ts";

/** What a bucket decides at `decisions` (ms); each call began `early` before and ended `late` after its decision. */
function play(
  decisions: readonly (readonly [number, number, number])[],
  perSecond: number,
  burst: number,
  capacity = burst,
): Outcome[] {
  let tokens = burst;
  let last = decisions[0]?.[0] ?? 0;
  return decisions.map(([atMs, early, late]) => {
    tokens = Math.min(capacity, tokens + ((atMs - last) * perSecond) / 1000);
    last = atMs;
    const isAllowed = tokens >= 1;
    if (isAllowed) tokens -= 1;
    return {
      status: isAllowed ? 202 : 429,
      headers: {},
      body: undefined,
      error: "",
      startMs: atMs - early,
      tookMs: early + late,
    };
  });
}

const timings = fc
  .array(
    fc.tuple(
      fc.double({ min: 0, max: 40, noNaN: true }),
      fc.double({ min: 0, max: 30, noNaN: true }),
      fc.double({ min: 0, max: 30, noNaN: true }),
    ),
    { minLength: 100, maxLength: 400 },
  )
  .map((steps) => {
    let now = 1000;
    return steps.map(([step, early, late]): [number, number, number] => {
      // Mostly dense, with a long pause now and then.
      now += step > 39 ? step * 20 : step / 20;
      return [now, early, late];
    });
  });

test("a true bucket is always within the bounds", () => {
  fc.assert(
    fc.property(timings, (decisions) => {
      const { allowed, least, most } = bucketBounds(play(decisions, 100, 20), 100, 20);
      assert.ok(allowed >= Math.min(least, decisions.length) && allowed <= most, `${least} <= ${allowed} <= ${most}`);
    }),
  );
});

const steady = Array.from({ length: 3000 }, (_, index): [number, number, number] => [1000 + index, 2, 2]);

test("steady calls leave little room: 20 + 3 s x 100", () => {
  const { allowed, least, most } = bucketBounds(play(steady, 100, 20), 100, 20);
  assert.ok(allowed === 319 || allowed === 320, `${allowed}`);
  assert.ok(least >= 295 && most <= 325, `${least}..${most}`);
});

test("a bucket that refills at another rate, or has another burst, is outside", () => {
  for (const [rate, burst] of [
    [90, 20],
    [110, 20],
    [100, 60],
  ] as const) {
    const { allowed, least, most } = bucketBounds(play(steady, rate, burst), 100, 20);
    assert.ok(allowed < least || allowed > most, `${rate}/s burst ${burst}: ${least} <= ${allowed} <= ${most}`);
  }
});

test("a bucket that is filled once a second, as with a fill interval, is outside", () => {
  const outcomes = steady.map(([atMs, early, late], index): Outcome => {
    const status = index % 1000 < 20 ? 202 : 429;
    return { status, headers: {}, body: undefined, error: "", startMs: atMs - early, tookMs: early + late };
  });
  const { allowed, least } = bucketBounds(outcomes, 100, 20);
  assert.ok(allowed < least);
});
