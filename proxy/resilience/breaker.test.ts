import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { BREAKER_CELLS, ClusterBreaker } from "./breaker.ts";
import { Breakers } from "./breakers.ts";
import { SharedCells } from "./shared-cells.ts";

const POLICY = { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 };

/** opossum takes its timers from the globals; they are given back when the test ends. */
function withTimers(
  run: (clock: FakeClock, advance: (ms: number) => Promise<void>) => Promise<void>,
): () => Promise<void> {
  return async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    const clock = new FakeClock();
    try {
      await run(clock, async (ms) => {
        clock.advance(ms);
        mock.timers.tick(ms);
        await settle();
      });
    } finally {
      mock.timers.reset();
    }
  };
}

/** opossum settles a probe some microtasks after its promise. */
async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await Promise.resolve();
}

function fail(breaker: ClusterBreaker, times: number): void {
  for (let i = 0; i < times; i++) breaker.report("pass", false);
}

test(
  "below the volume threshold nothing opens; at it the share decides",
  withTimers(async (clock) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 9);
    for (let i = 0; i < 10; i++) breaker.report("pass", true);
    assert.equal(breaker.state, "closed");
    fail(breaker, 1);
    assert.equal(breaker.state, "open");
    assert.equal(breaker.tryPass(), "refused");
    assert.equal(breaker.retryAfterMs, 5000);
    breaker.shutDown();
  }),
);

test(
  "failures that are older than the window do not count",
  withTimers(async (clock, advance) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 19);
    await advance(11_000);
    fail(breaker, 1);
    assert.equal(breaker.state, "closed");
    breaker.shutDown();
  }),
);

test(
  "after the sleep window exactly one request probes, and its success closes",
  withTimers(async (clock, advance) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 20);
    await advance(4999);
    assert.equal(breaker.tryPass(), "refused");
    await advance(1);
    assert.equal(breaker.state, "half-open");
    assert.equal(breaker.tryPass(), "probe");
    for (let i = 0; i < 100; i++) assert.equal(breaker.tryPass(), "refused");
    breaker.report("probe", true);
    await settle();
    assert.equal(breaker.state, "closed");
    assert.equal(breaker.tryPass(), "pass");
    fail(breaker, 1);
    assert.equal(breaker.state, "closed");
    breaker.shutDown();
  }),
);

test(
  "a probe that fails opens it for another sleep window",
  withTimers(async (clock, advance) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 20);
    for (let round = 0; round < 3; round++) {
      await advance(5000);
      assert.equal(breaker.tryPass(), "probe");
      breaker.report("probe", false);
      await settle();
      assert.equal(breaker.state, "open");
      assert.equal(breaker.tryPass(), "refused");
    }
    await advance(5000);
    assert.equal(breaker.tryPass(), "probe");
    breaker.shutDown();
  }),
);

test(
  "a probe that nobody reports counts as failed",
  withTimers(async (clock, advance) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 20);
    await advance(5000);
    assert.equal(breaker.tryPass(), "probe");
    await advance(30_000);
    assert.equal(breaker.state, "open");
    await advance(5000);
    assert.equal(breaker.tryPass(), "probe");
    breaker.shutDown();
  }),
);

test(
  "results of requests that passed before it opened are not counted after it closed",
  withTimers(async (clock, advance) => {
    const breaker = new ClusterBreaker("c", POLICY, clock);
    fail(breaker, 20);
    fail(breaker, 50);
    await advance(5000);
    breaker.tryPass();
    breaker.report("probe", true);
    await settle();
    for (let i = 0; i < 19; i++) breaker.report("pass", false);
    assert.equal(breaker.state, "closed");
    breaker.shutDown();
  }),
);

test(
  "two workers on the same cells: what one opens the other refuses, one permit for both, and a close reaches both",
  withTimers(async (clock, advance) => {
    const cells = new Int32Array(new SharedArrayBuffer(BREAKER_CELLS * 4));
    const one = new ClusterBreaker("c", POLICY, clock, cells);
    const two = new ClusterBreaker("c", POLICY, clock, cells);
    fail(one, 20);
    assert.equal(two.state, "open");
    assert.equal(two.tryPass(), "refused");
    await advance(5000);
    assert.deepEqual([one.tryPass(), two.tryPass()], ["probe", "refused"]);
    one.report("probe", true);
    await settle();
    assert.deepEqual([one.tryPass(), two.tryPass()], ["pass", "pass"]);
    one.shutDown();
    two.shutDown();
  }),
);

test(
  "a breaker stays open through a hundred configurations with the same policy, and ends with its cluster",
  withTimers(async (clock) => {
    const changes: string[] = [];
    const breakers = new Breakers({
      clock,
      cells: new SharedCells(),
      onChange: (cluster, state) => changes.push(`${cluster} ${state}`),
    });
    fail(breakers.get("reviews", { ...POLICY }), 20);
    for (let i = 0; i < 100; i++) {
      breakers.retain(new Set(["reviews", `other-${i}`]));
      assert.equal(breakers.get("reviews", { ...POLICY }).tryPass(), "refused");
    }
    assert.deepEqual(changes, ["reviews open"]);
    assert.equal(breakers.get("reviews", { ...POLICY, errorPercent: 60 }).tryPass(), "pass");
    breakers.retain(new Set());
    assert.deepEqual(breakers.states(), []);
  }),
);
