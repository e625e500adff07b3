import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { makeSeededRandom } from "#lib/random.ts";

import type { GradientSettings } from "./config.ts";
import { GRADIENT_CELLS, GRADIENT_SHARES, GradientController, nextLimit } from "./gradient.ts";

const SETTINGS: GradientSettings = {
  percentile: 0.5,
  maxLimit: 1000,
  updateIntervalMs: 100,
  minRttIntervalMs: 60_000,
  fixedMinRttUs: undefined,
  minRttRequests: 50,
  jitter: 0.15,
  minLimit: 3,
  buffer: 0.25,
};

class Bench {
  nowMs = 0;
  readonly #cells = new Int32Array(GRADIENT_CELLS);
  readonly #total = new Int32Array(GRADIENT_SHARES);

  make(settings: Partial<GradientSettings> = {}): GradientController {
    const running = { total: this.#total, own: new Int32Array(GRADIENT_SHARES) };
    return new GradientController({ ...SETTINGS, ...settings }, this.#cells, running, makeSeededRandom(3), this.nowMs);
  }

  /** One request after the other, each so long. */
  serve(controller: GradientController, count: number, latencyMs: number): void {
    for (let i = 0; i < count; i++) {
      assert.ok(controller.tryStart(this.nowMs));
      const startMs = this.nowMs;
      this.nowMs += latencyMs;
      controller.finish(startMs, this.nowMs);
    }
  }
}

test("it begins by measuring the ideal latency at the least limit", () => {
  const bench = new Bench();
  const controller = bench.make();
  assert.equal(controller.isMeasuring, true);
  assert.deepEqual(
    [1, 2, 3, 4].map(() => controller.tryStart(0)),
    [true, true, true, false],
  );
  for (let i = 0; i < 3; i++) controller.cancel();
  bench.serve(controller, 49, 10);
  assert.equal(controller.isMeasuring, true);
  bench.serve(controller, 1, 10);
  assert.equal(controller.isMeasuring, false);
  assert.ok(Math.abs(controller.minRttUs - 10_000) < 1000, `${controller.minRttUs}`);
});

test("a latency near the ideal lets the limit grow, a long one halves it, and it stays within its bounds", () => {
  const bench = new Bench();
  const controller = bench.make({ fixedMinRttUs: 10_000, maxLimit: 50 });
  assert.equal(controller.isMeasuring, false);
  let before = controller.limit;
  for (let i = 0; i < 5; i++) {
    bench.serve(controller, 12, 10);
    assert.ok(controller.limit > before);
    before = controller.limit;
  }
  bench.serve(controller, 200, 10);
  assert.equal(controller.limit, 50);
  // Windows of 100 ms with one sample of 1 s each: 50 / 2 + 5, 30 / 2 + 3.8 ...
  bench.serve(controller, 1, 1000);
  assert.equal(controller.limit, 30);
  bench.serve(controller, 1, 1000);
  assert.equal(controller.limit, 18);
});

test("the next limit is the old one times the gradient, with the root of it as room to grow", () => {
  const bounds = { minLimit: 3, maxLimit: 1000 };
  assert.equal(nextLimit(100, 1, bounds), 110);
  assert.equal(nextLimit(100, 0.5, bounds), 57);
  assert.equal(nextLimit(3, 0.5, bounds), 3);
  assert.equal(nextLimit(900, 2, bounds), 1000);
});

test("five updates in a row at the least limit make it measure again", () => {
  const bench = new Bench();
  const controller = bench.make({ minRttRequests: 5 });
  bench.serve(controller, 5, 1);
  for (let i = 0; i < 30 && !controller.isMeasuring; i++) bench.serve(controller, 1, 200);
  assert.equal(controller.isMeasuring, true);
  bench.serve(controller, 5, 200);
  assert.ok(controller.minRttUs > 150_000);
});

test("it measures again after its interval, and requests that began before do not count", () => {
  const bench = new Bench();
  const controller = bench.make({ minRttRequests: 5, minRttIntervalMs: 1000 });
  bench.serve(controller, 60, 10);
  assert.equal(controller.isMeasuring, false);
  assert.ok(controller.tryStart(bench.nowMs));
  const oldMs = bench.nowMs;
  bench.nowMs += 1151;
  assert.ok(controller.tryStart(bench.nowMs));
  assert.equal(controller.isMeasuring, true);
  assert.equal(controller.limit, 3);
  controller.finish(oldMs, bench.nowMs);
  controller.cancel();
  bench.serve(controller, 5, 20);
  assert.ok(Math.abs(controller.minRttUs - 20_000) < 2000, `${controller.minRttUs}`);
  assert.ok(controller.limit > 3);
});

test("threads share the limit, the samples and what runs", () => {
  const bench = new Bench();
  const [one, two] = [bench.make(), bench.make()];
  assert.deepEqual([one.tryStart(0), two.tryStart(0), one.tryStart(0), two.tryStart(0)], [true, true, true, false]);
  for (const controller of [one, two, one]) controller.cancel();
  bench.serve(one, 25, 10);
  bench.serve(two, 25, 10);
  assert.equal(one.isMeasuring, false);
  assert.equal(two.minRttUs, one.minRttUs);
});

test("whatever happens, no more run than the limit allowed when they began, and all are given back", () => {
  const step = fc.record({
    what: fc.constantFrom("start", "finish", "cancel"),
    thread: fc.nat(1),
    waitMs: fc.integer({ min: 0, max: 3000 }),
  });
  const settings = fc.record({
    minLimit: fc.integer({ min: 1, max: 5 }),
    maxLimit: fc.integer({ min: 5, max: 20 }),
    minRttRequests: fc.integer({ min: 1, max: 5 }),
    minRttIntervalMs: fc.integer({ min: 1, max: 5000 }),
    fixedMinRttUs: fc.constantFrom(undefined, 1000),
  });
  fc.assert(
    fc.property(
      settings,
      fc.integer({ min: 0, max: 2 ** 33 }),
      fc.array(step, { maxLength: 200 }),
      (some, startMs, steps) => {
        const bench = new Bench();
        bench.nowMs = startMs;
        const threads = [bench.make(some), bench.make(some)];
        const running: { readonly controller: GradientController; readonly startMs: number }[] = [];
        for (const { what, thread, waitMs } of steps) {
          bench.nowMs += waitMs;
          const controller = threads[thread];
          assert.ok(controller);
          if (what === "start") {
            const mayStart = controller.tryStart(bench.nowMs);
            assert.equal(mayStart, running.length < controller.limit);
            if (mayStart) running.push({ controller, startMs: bench.nowMs });
          } else {
            const ended = running.shift();
            if (what === "cancel") ended?.controller.cancel();
            else ended?.controller.finish(ended.startMs, bench.nowMs);
          }
          assert.equal(controller.running, running.length);
          assert.ok(controller.limit >= some.minLimit && controller.limit <= some.maxLimit);
        }
      },
    ),
    { numRuns: 60 },
  );
});

/** A server that does ten things at once for 10 ms each (1,000 a second), and a queue before it without an end. */
function simulate(offeredPerSecond: number, seconds: number, controller: GradientController | undefined) {
  const slots = Array.from({ length: 10 }, () => 0);
  const random = makeSeededRandom(11);
  const ends: { readonly atMs: number; readonly startMs: number }[] = [];
  const limits: number[] = [];
  let inTime = 0;
  let refused = 0;
  let nowMs = 0;
  while (nowMs < seconds * 1000) {
    nowMs += (-Math.log(1 - random.next()) * 1000) / offeredPerSecond;
    while ((ends[0]?.atMs ?? Infinity) <= nowMs) {
      const end = ends.shift();
      if (end === undefined) break;
      controller?.finish(end.startMs, end.atMs);
      // Only what is answered within 50 ms is of use to anybody; the first second is for finding the limit.
      if (end.atMs - end.startMs <= 50 && end.startMs > 1000) inTime++;
    }
    if (controller?.tryStart(nowMs) === false) {
      refused++;
      continue;
    }
    if (controller !== undefined && !controller.isMeasuring && nowMs > 1000) limits.push(controller.limit);
    const first = slots.indexOf(Math.min(...slots));
    const endMs = Math.max(nowMs, slots[first] ?? 0) + 8 + 4 * random.next();
    slots[first] = endMs;
    const place = ends.findLastIndex(({ atMs }) => atMs <= endMs);
    ends.splice(place + 1, 0, { atMs: endMs, startMs: nowMs });
  }
  return { goodput: inTime / (seconds - 1), refused, limits: limits.toSorted((left, right) => left - right) };
}

test("the limit converges and goodput stays when three times as much is offered as the server can do", () => {
  const protect = (): GradientController => new Bench().make();
  const bare = simulate(3000, 8, undefined);
  assert.ok(bare.goodput < 50, `an unprotected server drowns: ${bare.goodput}`);
  const guarded = simulate(3000, 8, protect());
  assert.ok(guarded.goodput > 900, `goodput ${guarded.goodput}`);
  const middle = guarded.limits[Math.floor(guarded.limits.length / 2)] ?? 0;
  assert.ok(middle >= 10 && middle <= 30, `limit ${middle}`);
});

test("a server that is not busy is hardly refused anything", () => {
  const { goodput, refused } = simulate(500, 8, new Bench().make());
  assert.ok(goodput > 490, `goodput ${goodput}`);
  // But for the first measurement, at a limit of three.
  assert.ok(refused < 100, `refused ${refused}`);
});
