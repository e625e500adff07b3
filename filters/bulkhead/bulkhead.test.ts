import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { FakeClock } from "#lib/testing/fake-clock.ts";
import { keyedSlotCells } from "#lib/keyed-slots.ts";

import { ANSWERED, CONTINUE, PAUSE, type Verdict } from "../filter.ts";
import { FilterBench, type HarnessOptions, type TestExchange } from "../testing/harness.ts";
import { Compartments, compartmentShares, type Stay } from "./compartments.ts";
import { bulkheadFilter } from "./filter.ts";

function setUp(config: object) {
  const bench = new FilterBench();
  const filter = bench.make(bulkheadFilter, { scope: "Service shop/pay:80", maxConcurrent: 2, ...config });
  const ask = (options: HarnessOptions = {}): { exchange: TestExchange; verdict: Verdict | undefined } => {
    const exchange = bench.exchange(options);
    return { exchange, verdict: filter.onRouted?.(exchange, exchange.request) };
  };
  return { bench, filter, ask };
}

test("as many as there are places run, the next is answered 503 and told why", () => {
  const { filter, ask, bench } = setUp({});
  const [one, two, three] = [ask(), ask(), ask()];
  assert.deepEqual([one.verdict, two.verdict, three.verdict], [CONTINUE, CONTINUE, ANSWERED]);
  assert.equal(three.exchange.reply?.code, "bulkhead_full");
  assert.equal(three.exchange.reply?.status, 503);
  assert.deepEqual(three.exchange.reply?.headers, [["x-envoy-overloaded", "true"]]);
  assert.equal(bench.counters.get("heddle_bulkhead_refused_total"), 1);
  filter.onDone?.(three.exchange);
  assert.equal(ask().verdict, ANSWERED);
  filter.onDone?.(one.exchange);
  assert.equal(ask().verdict, CONTINUE);
});

test("each value of a header has places of its own", () => {
  const { ask } = setUp({ maxConcurrent: 1, per: [{ type: "header", name: "X-User" }] });
  for (const user of ["ann", "bob"]) {
    assert.equal(ask({ headers: [["x-user", user]] }).verdict, CONTINUE, user);
    assert.equal(ask({ headers: [["x-user", user]] }).verdict, ANSWERED, user);
  }
});

test("whoever waits goes on in order when a place is free, and is answered when the wait is over", async () => {
  const { bench, filter, ask } = setUp({ maxConcurrent: 1, maxPending: 2, maxWaitMs: 500 });
  const [one, two, three, four] = [ask(), ask(), ask(), ask()];
  assert.deepEqual([one.verdict, two.verdict, three.verdict, four.verdict], [CONTINUE, PAUSE, PAUSE, ANSWERED]);
  const resumed: TestExchange[] = [];
  for (const { exchange } of [two, three]) exchange.resume = () => resumed.push(exchange) > 0;
  filter.onDone?.(one.exchange);
  await Promise.resolve();
  assert.deepEqual(resumed, [two.exchange]);
  bench.clock.advance(500);
  assert.equal(three.exchange.reply?.code, "bulkhead_full");
  filter.onDone?.(three.exchange);
  filter.onDone?.(two.exchange);
  assert.equal(bench.gauges.get("heddle_bulkhead_running")?.(), 0);
  assert.equal(bench.gauges.get("heddle_bulkhead_pending")?.(), 0);
  assert.equal(bench.clock.pendingTimers, 0);
});

test("a client that goes while it waits leaves its place in the queue to others", async () => {
  const { filter, ask } = setUp({ maxConcurrent: 1, maxPending: 2, maxWaitMs: 500 });
  const [one, two, three] = [ask(), ask(), ask()];
  const resumed: string[] = [];
  two.exchange.resume = () => resumed.push("two") > 0;
  three.exchange.resume = () => resumed.push("three") > 0;
  filter.onDone?.(two.exchange);
  filter.onDone?.(one.exchange);
  await Promise.resolve();
  assert.deepEqual(resumed, ["three"]);
});

test("a place that another thread gives back is found, and a lowered limit holds for what comes", async () => {
  const clock = new FakeClock();
  const total = new Int32Array(compartmentShares(0));
  const thread = (): Compartments =>
    new Compartments(
      { maxConcurrent: 1, maxPending: 5, maxWaitMs: 1000 },
      clock,
      { total, own: new Int32Array(2) },
      undefined,
    );
  const [one, two] = [thread(), thread()];
  const first = one.enter("", assert.fail, assert.fail);
  let isMyTurn = false;
  assert.equal(two.enter("", () => (isMyTurn = true), assert.fail)?.state, "waiting");
  assert.ok(first);
  one.leave(first);
  clock.advance(10);
  await Promise.resolve();
  assert.equal(isMyTurn, true);
  one.limits = { maxConcurrent: 1, maxPending: 0, maxWaitMs: 0 };
  assert.equal(one.enter("", assert.fail, assert.fail), undefined);
});

test("whatever happens, no compartment runs more than its limit, and all are empty in the end", async () => {
  const step = fc.record({ key: fc.nat(30), waitMs: fc.nat(200), isEnd: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const clock = new FakeClock();
      const counts = { total: new Int32Array(compartmentShares(4)), own: new Int32Array(compartmentShares(4)) };
      const keys = new Int32Array(keyedSlotCells(4));
      const limits = { maxConcurrent: 2, maxPending: 2, maxWaitMs: 300 };
      const compartments = new Compartments(limits, clock, counts, keys);
      const stays: Stay[] = [];
      for (const { key, waitMs, isEnd } of steps) {
        clock.advance(waitMs);
        await Promise.resolve();
        if (isEnd) {
          const stay = stays.shift();
          if (stay !== undefined) compartments.leave(stay);
        } else {
          const stay = compartments.enter(
            `key-${key}`,
            () => undefined,
            () => undefined,
          );
          if (stay !== undefined) stays.push(stay);
        }
        for (let at = 0; at < counts.total.length; at += 2) assert.ok((counts.total[at] ?? 0) <= 2);
        assert.equal(compartments.running, stays.filter(({ state }) => state === "running").length);
        assert.equal(compartments.pending, stays.filter(({ state }) => state === "waiting").length);
      }
      for (const stay of stays) compartments.leave(stay);
      for (const stay of stays) compartments.leave(stay);
      assert.equal(compartments.running + compartments.pending, 0);
    }),
    { numRuns: 50 },
  );
});
