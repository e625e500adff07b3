import assert from "node:assert/strict";
import { test } from "node:test";

import type { Exchange } from "./lanes.ts";
import { judgeTrial, type Trial } from "./verdict.ts";

const exchange = (sentMs: number, status = "200"): Exchange => ({
  sentMs,
  status,
  dueMs: sentMs,
  connectionBefore: "1",
  answeredMs: sentMs + 10,
});

/** POSTs that were sent at these times and failed, beside ten that went well. The upstream closes first at 5 s. */
function judge(
  failedMs: readonly number[],
  more: Partial<Trial> & { readonly twice?: number } = {},
): ReturnType<typeof judgeTrial> {
  const good = Array.from({ length: 10 }, (_, i) => exchange(i * 1000));
  const { twice = 0, ...trial } = more;
  return judgeTrial({
    method: "POST",
    idleMs: 1000,
    marginMs: 500,
    isOurs: false,
    exchanges: [...good, ...failedMs.map((sentMs) => exchange(sentMs, "503"))],
    counts: { executed: 10, twice, closes: { 1: 5000, 2: 8000 }, stalls: [] },
    stalls: [],
    ...trial,
  });
}

test("no failure is no fault, and of POST one before the first close was seen", () => {
  assert.deepEqual(judge([]).faults, []);
  assert.deepEqual(judge([4999]).faults, []);
  assert.equal(judge([4000, 4999]).faults.length, 1);
  assert.equal(judge([4999], { isOurs: true }).faults.length, 1, "a sidecar knows when it closes");
  assert.equal(
    judge([2900], { counts: { executed: 10, twice: 0, closes: {}, stalls: [] } }).faults.length,
    1,
    "must have closed",
  );
});

test("one POST that fails after a close had been seen is a fault", () => {
  assert.match(judge([5300]).faults[0] ?? "", /1 of 11 POST failed after a close had been seen: 503/);
  assert.equal(judge([5300]).isExcused, false);
});

test("one GET that fails is a fault, whoever stood still", () => {
  const { faults, isExcused } = judge([1], { method: "GET", stalls: [[0, 9000]] });
  assert.equal(faults.length, 1);
  assert.equal(isExcused, false);
});

test("a POST that met a stall of half the idle time cannot be judged", () => {
  assert.equal(judge([6000], { stalls: [[5900, 6405]] }).isExcused, true);
  assert.equal(judge([6000], { stalls: [[5900, 6395]] }).isExcused, false, "too short");
  assert.equal(judge([6000], { stalls: [[5000, 5990]] }).isExcused, false, "over before");
  assert.equal(judge([6000], { stalls: [[6011, 7000]] }).isExcused, false, "begun behind");
  assert.equal(judge([6000, 7000], { stalls: [[5900, 6405]] }).isExcused, false, "the other did not meet it");
  assert.equal(judge([6000], { stalls: [[5900, 6405]], marginMs: Infinity }).isExcused, false);
});

test("what was executed twice, or answered by nobody, is a fault whoever stood still", () => {
  const stalls = [[0, 99_999]] as const;
  assert.equal(judge([], { twice: 1, stalls }).isExcused, false);
  assert.equal(judge([], { twice: 1 }).faults.length, 1);
  const counts = { executed: 9, twice: 0, closes: {}, stalls };
  assert.equal(judge([], { counts }).faults.length, 1);
  assert.equal(judge([], { counts }).isExcused, false);
});
