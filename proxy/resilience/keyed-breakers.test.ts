import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { Breakers } from "./breakers.ts";
import { MAX_BREAKER_KEYS } from "./keyed-breakers.ts";
import { SharedCells } from "./shared-cells.ts";

const POLICY = { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 };
const PER_TENANT = { ...POLICY, per: "tenant" } as const;

function fail(breaker: { report(permit: "pass", isSuccess: boolean): void }): void {
  for (let i = 0; i < 20; i++) breaker.report("pass", false);
}

function makeWorkers(): readonly [Breakers, Breakers] {
  const clock = new FakeClock();
  const buffer = SharedCells.makeBuffer(65_536);
  const make = (worker: number): Breakers => new Breakers({ clock, cells: new SharedCells(buffer, worker) });
  return [make(0), make(1)];
}

test("each tenant has a breaker of its own, the same in all threads", () => {
  const [one, two] = makeWorkers();
  fail(one.keyed("pay", PER_TENANT).of("bad"));
  assert.equal(two.keyed("pay", PER_TENANT).of("bad").tryPass(), "refused");
  assert.equal(two.keyed("pay", PER_TENANT).of("good").tryPass(), "pass");
  assert.deepEqual(one.scopedStates(), [{ scope: "pay", key: "bad", state: "open" }]);
  for (const worker of [one, two]) worker.shutDown();
});

test("a route has one, which a changed policy closes and an equal one keeps", () => {
  const [one] = makeWorkers();
  fail(one.keyed("HTTPRoute shop/pay", POLICY).of(""));
  assert.equal(one.keyed("HTTPRoute shop/pay", { ...POLICY }).of("").state, "open");
  assert.equal(one.keyed("HTTPRoute shop/pay", { ...POLICY, errorPercent: 60 }).of("").state, "closed");
  one.shutDown();
});

test("any number of tenants has a bounded number of breakers, and an open one is never put away for another", () => {
  const [one] = makeWorkers();
  const breakers = one.keyed("pay", PER_TENANT);
  fail(breakers.of("bad"));
  for (let i = 0; i < 5000; i++) assert.equal(breakers.of(`tenant-${i}`).tryPass(), "pass");
  assert.ok(one.scopedStates().length <= MAX_BREAKER_KEYS + 1);
  assert.equal(breakers.of("bad").tryPass(), "refused");
  one.shutDown();
});
