import assert from "node:assert/strict";
import { test } from "node:test";
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
  const one = new CircuitCounters(LIMITS, cells.cells("circuit/a", CIRCUIT_CELLS));
  const two = new CircuitCounters(LIMITS, new SharedCells(cells.buffer).cells("circuit/a", CIRCUIT_CELLS));
  assert.deepEqual([one.tryConnection(), two.tryConnection(), one.tryConnection()], [true, true, false]);
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
  const cells = new SharedCells();
  for (let i = 0; i < 400; i++) cells.cells(`n${i}`, 200);
  assert.equal(cells.isFull, true);
  assert.equal(cells.cells("n399", 200).length, 200);
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
