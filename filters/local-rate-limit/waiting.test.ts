// Leaky buckets: requests that wait for their turn.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { ANSWERED, CONTINUE, PAUSE } from "../filter.ts";
import { FilterBench, type TestExchange } from "../testing/harness.ts";
import { localRateLimitFilter } from "./filter.ts";

function makeQueue(bucket: object = {}) {
  const bench = new FilterBench();
  const config = {
    buckets: [
      { rule: "RateLimitPolicy a/b", algorithm: "leakyBucket", requests: 10, perMs: 1000, burst: 5, ...bucket },
    ],
  };
  const filter = bench.make(localRateLimitFilter, config);
  const startMs = bench.clock.nowMs();
  const resumed: (readonly [name: string, ms: number])[] = [];
  const ask = (name: string, user = "ann"): { verdict: unknown; exchange: TestExchange } => {
    const exchange = bench.exchange({
      headers: [["x-user", user]],
      onResume: () => resumed.push([name, Math.round(bench.clock.nowMs() - startMs)]),
    });
    return { verdict: filter.onRouted?.(exchange, exchange.request), exchange };
  };
  return { bench, filter, resumed, ask };
}

test("requests go on one by one at the rate, as many as may wait; the next is refused", () => {
  const { bench, ask, resumed } = makeQueue();
  assert.equal(ask("0").verdict, CONTINUE);
  for (const name of "12345") assert.equal(ask(name).verdict, PAUSE, name);
  const refused = ask("6");
  assert.equal(refused.verdict, ANSWERED);
  assert.match(refused.exchange.reply?.detail ?? "", /10 requests per 1000 ms one by one, and 5 waiting/);
  for (let i = 0; i < 50; i++) bench.clock.advance(10);
  assert.deepEqual(resumed, [
    ["1", 100],
    ["2", 200],
    ["3", 300],
    ["4", 400],
    ["5", 500],
  ]);
  assert.equal(ask("7").verdict, PAUSE);
  bench.clock.advance(1000);
  assert.equal(ask("8").verdict, CONTINUE);
});

test("nobody waits for longer than the bucket says", () => {
  const { ask } = makeQueue({ burst: 100, maxWaitMs: 250 });
  assert.deepEqual(
    ["a", "b", "c", "d"].map((name) => ask(name).verdict),
    [CONTINUE, PAUSE, PAUSE, ANSWERED],
  );
});

test("who gives up makes room for those behind", () => {
  const { bench, filter, ask, resumed } = makeQueue();
  ask("0");
  const [first] = [ask("1"), ask("2"), ask("3"), ask("4"), ask("5")];
  assert.equal(ask("6").verdict, ANSWERED);
  bench.clock.advance(50);
  filter.onDone?.(first.exchange);
  assert.equal(ask("7").verdict, PAUSE);
  assert.equal(ask("8").verdict, ANSWERED);
  for (let i = 0; i < 60; i++) bench.clock.advance(10);
  assert.deepEqual(resumed, [
    ["2", 100],
    ["3", 200],
    ["4", 300],
    ["5", 400],
    ["7", 500],
  ]);
});

test("each key has a queue of its own", () => {
  const { ask } = makeQueue({ keys: [{ type: "header", name: "x-user" }] });
  assert.deepEqual(
    [ask("a", "ann"), ask("b", "bob"), ask("c", "bob")].map(({ verdict }) => verdict),
    [CONTINUE, CONTINUE, PAUSE],
  );
});

test("property: whatever comes and goes, turns are never closer than the rate allows", () => {
  const step = fc.record({ waitMs: fc.nat(150), leaves: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { bench, filter, ask, resumed } = makeQueue();
      const startMs = bench.clock.nowMs();
      const waiting: (readonly [string, TestExchange])[] = [];
      const went: number[] = [];
      for (const [index, { waitMs, leaves }] of steps.entries()) {
        for (let i = 0; i < waitMs; i++) bench.clock.advance(1);
        const name = String(index);
        const { verdict, exchange } = ask(name);
        if (verdict === CONTINUE) went.push(bench.clock.nowMs() - startMs);
        if (verdict === PAUSE) waiting.push([name, exchange]);
        const gone = leaves ? waiting.shift() : undefined;
        if (gone !== undefined && !resumed.some(([done]) => done === gone[0])) filter.onDone?.(gone[1]);
      }
      for (let i = 0; i < 1000; i++) bench.clock.advance(1);
      const all = [...went, ...resumed.map(([, ms]) => ms)].sort((a, b) => a - b);
      for (let i = 1; i < all.length; i++) assert.ok((all[i] ?? 0) - (all[i - 1] ?? 0) >= 98, all.join());
    }),
    { numRuns: 40 },
  );
});
