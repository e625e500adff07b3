import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";

import { KeyedBuckets, keyedBucketCells } from "#lib/keyed-buckets.ts";

import { CIRCUIT_CELLS, CircuitCounters } from "./circuit-counters.ts";
import { attemptTimeoutMs, exchangeTimeoutMs, formatGrpcTimeout, tryParseGrpcTimeoutMs } from "./deadline.ts";
import { retryLimit } from "./retry-budget.ts";
import { SharedCells } from "./shared-cells.ts";

const LIMITS = { maxConnections: 2, maxPendingRequests: 1, maxRequests: 3, maxRetries: 1, retryBudget: undefined };

test("a limit admits exactly its number, and again what was given back", () => {
  const counters = new CircuitCounters(LIMITS);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => counters.tryRequest()),
    [true, true, true, false],
  );
  counters.releaseRequest();
  assert.equal(counters.tryRequest(), true);
  assert.equal(counters.requests, 3);
});

test("two holders of the same cells share one limit", () => {
  const cells = new SharedCells();
  const one = new CircuitCounters(LIMITS, cells.shares("circuit/a", CIRCUIT_CELLS));
  const two = new CircuitCounters(LIMITS, new SharedCells(cells.buffer, 1).shares("circuit/a", CIRCUIT_CELLS));
  assert.deepEqual([one.tryConnection(), two.tryConnection(), one.tryConnection()], [true, true, false]);
});

test("what a dead worker held is given back when its successor comes, and what the others hold stays", () => {
  const buffer = SharedCells.makeBuffer(1000);
  const shares = (worker: number) => new SharedCells(buffer, worker).shares("circuit/a", CIRCUIT_CELLS);
  const dead = new CircuitCounters(LIMITS, shares(0));
  const alive = new CircuitCounters(LIMITS, shares(1));
  assert.deepEqual([dead.tryRequest(), dead.tryRequest(), alive.tryRequest()], [true, true, true]);
  dead.forceConnection();
  assert.equal(alive.tryRequest(), false);
  const successor = new SharedCells(buffer, 0);
  const next = new CircuitCounters(LIMITS, successor.shares("circuit/a", CIRCUIT_CELLS));
  assert.equal(successor.reclaimed, 3);
  assert.deepEqual([next.requests, next.connections], [1, 0]);
  // Asked again, for a cluster that was removed and came back, it must not take away what runs.
  assert.equal(next.tryRequest(), true);
  successor.shares("circuit/a", CIRCUIT_CELLS);
  assert.equal(alive.requests, 2);
});

test("a retry budget is a share of the running requests, and never below its minimum", () => {
  const budget = { percent: 20, minConcurrency: 3 };
  assert.equal(retryLimit(budget, 1000, 0), 3);
  assert.equal(retryLimit(budget, 1000, 100), 20);
  assert.equal(retryLimit(undefined, 7, 100), 7);
  const counters = new CircuitCounters({ ...LIMITS, maxRequests: 1000, retryBudget: budget });
  for (let i = 0; i < 50; i++) counters.tryRequest();
  let admitted = 0;
  for (let i = 0; i < 50; i++) if (counters.tryRetry()) admitted++;
  assert.equal(admitted, 10);
  let unprocessed = 0;
  for (let i = 0; i < 100; i++) if (counters.tryRetry(true)) unprocessed++;
  assert.equal(unprocessed, 40, "what no upstream processed may run up to 50 at a time");
  assert.equal(retryLimit(undefined, 7, 100, true), 7, "a limit without a budget is Envoy's, and stays");
});

test("names find their own cells, whoever asks first, and a wrong count is an error", () => {
  const one = new SharedCells();
  const two = new SharedCells(one.buffer);
  for (let i = 0; i < 500; i++) {
    const [first, second] = i % 2 === 0 ? [one, two] : [two, one];
    first.cells(`name-${i}`, 3)[2] = i;
    assert.equal(second.cells(`name-${i}`, 3)[2], i);
  }
  assert.throws(() => two.cells("name-1", 4), /it has 3 of them, and 4 were asked for/);
});

test("when the shared cells are used up, a thread gets cells of its own and says so", () => {
  const cells = new SharedCells(SharedCells.makeBuffer(65_536));
  for (let i = 0; i < 400; i++) cells.cells(`n${i}`, 200);
  assert.equal(cells.isFull, true);
  assert.equal(cells.cells("n399", 200).length, 200);
});

test("a limit of 100/s for each of 10,000 keys is 100/s over two workers", () => {
  const spec = { maxTokens: 20, tokensPerFill: 100, fillIntervalMs: 1000 };
  const buffer = SharedCells.makeBuffer();
  const workers = [0, 1].map((worker) => {
    const cells = new SharedCells(buffer, worker);
    const table = new KeyedBuckets(spec, cells.cells("limit/tenants", keyedBucketCells(10_000)));
    assert.equal(cells.isFull, false);
    return table;
  });
  let passed = 0;
  for (let ms = 0; ms < 10_000; ms++) {
    for (const worker of workers) if (worker.tryTake("tenant-a", 5000 + ms).allowed) passed++;
  }
  assert.ok(Math.abs(passed - (20 + 100 * 10)) <= 1, `${passed} passed`);
});

test("two threads that take at the same time take no more than there is", async () => {
  const buffer = SharedCells.makeBuffer();
  const code = `
    const { parentPort, workerData } = await import("node:worker_threads");
    const { SharedCells } = await import(workerData.cells);
    const { KeyedBuckets } = await import(workerData.buckets);
    const cells = new SharedCells(workerData.buffer, workerData.worker).cells("limit", 30000);
    const table = new KeyedBuckets({ maxTokens: 5000, tokensPerFill: 1, fillIntervalMs: 1e9 }, cells);
    parentPort.once("message", () => {
      let passed = 0;
      for (let i = 0; i < 20000; i++) if (table.tryTake("key", 1000).allowed) passed++;
      parentPort.postMessage(passed);
    });
    parentPort.postMessage("ready");
  `;
  const threads = [0, 1].map(
    (worker) =>
      new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
        workerData: {
          buffer,
          worker,
          cells: import.meta.resolve("./shared-cells.ts"),
          buckets: import.meta.resolve("#lib/keyed-buckets.ts"),
        },
      }),
  );
  await Promise.all(threads.map((thread) => once(thread, "message")));
  const counts = threads.map((thread) => once(thread, "message"));
  for (const thread of threads) thread.postMessage("go");
  const passed = (await Promise.all(counts)).flat().reduce((sum: number, count: number) => sum + count, 0);
  await Promise.all(threads.map((thread) => thread.terminate()));
  assert.equal(passed, 5000);
});

test("grpc-timeout is read in all its units and written rounded up", () => {
  assert.deepEqual(
    ["1H", "2M", "3S", "100m", "5u", "7n", "123456789m", "m", "1.5S", "-1S"].map((value) =>
      tryParseGrpcTimeoutMs(value),
    ),
    [3_600_000, 120_000, 3000, 100, 0.005, 0.000_007, undefined, undefined, undefined, undefined],
  );
  assert.deepEqual([0, 1.5, 250_000, 1e12].map(formatGrpcTimeout), ["0u", "1500u", "250000m", "16666667M"]);
});

test("a route that looks at grpc-timeout takes it up to its maximum, and the maximum without it", () => {
  assert.equal(exchangeTimeoutMs(15_000, undefined, true, "1S"), 15_000);
  assert.equal(exchangeTimeoutMs(15_000, 5000, false, "1S"), 15_000);
  assert.equal(exchangeTimeoutMs(15_000, 5000, true, "1S"), 1000);
  assert.equal(exchangeTimeoutMs(15_000, 5000, true, "10S"), 5000);
  assert.equal(exchangeTimeoutMs(15_000, 5000, true, undefined), 5000);
  assert.equal(exchangeTimeoutMs(15_000, 0, true, "10S"), 10_000);
});

test("an attempt has its own time, but never more than the exchange has left", () => {
  assert.equal(attemptTimeoutMs(0, 1000, 400), 600);
  assert.equal(attemptTimeoutMs(250, 1000, 400), 250);
  assert.equal(attemptTimeoutMs(250, 1000, 900), 100);
  assert.equal(attemptTimeoutMs(250, 0, 900), 250);
  assert.equal(attemptTimeoutMs(0, 1000, 2000), 1);
});
