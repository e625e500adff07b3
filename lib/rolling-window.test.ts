import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { RollingWindow } from "./rolling-window.ts";

test("what is older than the window is forgotten", () => {
  const window = new RollingWindow(10_000);
  window.add(1_000, false);
  window.add(5_000, true);
  assert.equal(window.total(9_999), 2);
  assert.equal(window.total(11_500), 1);
  assert.equal(window.failures(11_500), 0);
  assert.equal(window.total(60_000), 0);
});

test("property: the totals are those of the buckets that the window covers", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 700 }), fc.boolean()), { maxLength: 200 }), (events) => {
      const window = new RollingWindow(1000, 10);
      const seen: { turn: number; isSuccess: boolean }[] = [];
      let at = 0;
      for (const [gap, isSuccess] of events) {
        at += gap;
        window.add(at, isSuccess);
        seen.push({ turn: Math.floor(at / 100), isSuccess });
        const live = seen.filter((event) => event.turn > Math.floor(at / 100) - 10);
        assert.equal(window.total(at), live.length);
        assert.equal(window.failures(at), live.filter((event) => !event.isSuccess).length);
      }
    }),
  );
});
