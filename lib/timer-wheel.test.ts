import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FakeClock } from "./testing/fake-clock.ts";
import { TimerWheel, WheelTimer } from "./timer-wheel.ts";

class Probe extends WheelTimer {
  firedAtMs: number | undefined = undefined;
  readonly #clock: FakeClock;
  readonly #then: (() => void) | undefined;

  constructor(clock: FakeClock, then?: () => void) {
    super();
    this.#clock = clock;
    this.#then = then;
  }

  onTimer(): void {
    this.firedAtMs = this.#clock.nowMs();
    this.#then?.();
  }
}

test("a timer fires after its delay, at most a tick late", () => {
  const clock = new FakeClock(1_000_003);
  const wheel = new TimerWheel(clock, 10, 16);
  const timers = [0, 1, 9, 10, 155, 160, 1000].map((delayMs) => ({ delayMs, timer: new Probe(clock) }));
  for (const { timer, delayMs } of timers) wheel.start(timer, delayMs);
  clock.advance(2000);
  for (const { timer, delayMs } of timers) {
    const late = (timer.firedAtMs ?? Infinity) - 1_000_003 - delayMs;
    assert.ok(late >= 0 && late <= 20, `${delayMs}: late by ${late}`);
  }
  assert.equal(clock.pendingTimers, 0);
});

test("a cancelled timer does not fire, and cancelling twice is harmless", () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock);
  const timer = new Probe(clock);
  wheel.start(timer, 50);
  wheel.cancel(timer);
  wheel.cancel(timer);
  clock.advance(1000);
  assert.equal(timer.firedAtMs, undefined);
  assert.equal(wheel.size, 0);
});

test("a callback may cancel and start timers of its own slot", () => {
  const clock = new FakeClock();
  const wheel = new TimerWheel(clock, 10, 16);
  const victim = new Probe(clock);
  const again: Probe = new Probe(clock);
  const first = new Probe(clock, () => {
    wheel.cancel(victim);
    wheel.start(again, 160);
  });
  wheel.start(first, 20);
  wheel.start(victim, 20);
  clock.advance(100);
  assert.equal(victim.firedAtMs, undefined);
  assert.equal(again.firedAtMs, undefined);
  clock.advance(200);
  assert.notEqual(again.firedAtMs, undefined);
});

test("after a long stall of the loop everything due fires once", () => {
  let now = 0;
  let wake: (() => void) | undefined;
  const stalling = {
    nowMs: () => now,
    recentMs: () => now,
    wallMs: () => now,
    setTimer(_delayMs: number, callback: () => void) {
      wake = callback;
      return { cancel: () => (wake = undefined) };
    },
  };
  const wheel = new TimerWheel(stalling, 10, 16);
  const clock = new FakeClock();
  const timers = Array.from({ length: 40 }, () => new Probe(clock));
  for (const [i, timer] of timers.entries()) wheel.start(timer, i * 10);
  now = 100_000;
  wake?.();
  assert.ok(timers.every((timer) => timer.firedAtMs !== undefined));
  assert.equal(wheel.size, 0);
});

test("property: each timer fires exactly when it was not cancelled, never early", () => {
  const step = fc.record({
    delayMs: fc.integer({ min: 0, max: 900 }),
    waitMs: fc.integer({ min: 0, max: 60 }),
    cancelIndex: fc.option(fc.nat(50), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const clock = new FakeClock();
      const wheel = new TimerWheel(clock, 10, 16);
      const started: { timer: Probe; dueMs: number; isCancelled: boolean }[] = [];
      for (const { delayMs, waitMs, cancelIndex } of steps) {
        const timer = new Probe(clock);
        wheel.start(timer, delayMs);
        started.push({ timer, dueMs: clock.nowMs() + delayMs, isCancelled: false });
        const other = cancelIndex === undefined ? undefined : started[cancelIndex];
        if (other !== undefined && other.timer.firedAtMs === undefined) {
          wheel.cancel(other.timer);
          other.isCancelled = true;
        }
        clock.advance(waitMs);
      }
      clock.advance(2000);
      for (const { timer, dueMs, isCancelled } of started) {
        assert.equal(timer.firedAtMs === undefined, isCancelled);
        if (timer.firedAtMs !== undefined) assert.ok(timer.firedAtMs >= dueMs && timer.firedAtMs <= dueMs + 20);
      }
      assert.equal(wheel.size, 0);
    }),
    { numRuns: 50 },
  );
});
