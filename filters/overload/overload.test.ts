import assert from "node:assert/strict";
import { test } from "node:test";

import { ANSWERED, CONTINUE } from "../filter.ts";
import { FilterBench, type HarnessOptions, type TestExchange } from "../testing/harness.ts";
import { overloadFilter } from "./filter.ts";

function setUp(config: object, base: HarnessOptions = {}) {
  const bench = new FilterBench();
  const filter = bench.make(overloadFilter, { ...config }, base);
  const ask = (options: HarnessOptions = base): { exchange: TestExchange; isIn: boolean } => {
    const exchange = bench.exchange(options);
    const verdict = filter.onRequestHead?.(exchange, exchange.request, true);
    assert.ok(verdict === CONTINUE || verdict === ANSWERED);
    return { exchange, isIn: verdict === CONTINUE };
  };
  const end = (exchange: TestExchange): void => {
    exchange.isAnswered = true;
    filter.onDone?.(exchange);
  };
  /** One after the other, each so long. */
  const serve = (count: number, latencyMs: number): void => {
    for (let i = 0; i < count; i++) {
      const { exchange, isIn } = ask();
      assert.ok(isIn);
      bench.clock.advance(latencyMs);
      end(exchange);
    }
  };
  return { bench, ask, end, serve };
}

test("beyond the concurrency requests are answered 503 with OM and Retry-After", () => {
  const { ask, end, bench } = setUp({ concurrency: 2, retryAfterSeconds: 3 });
  const [one, two, three] = [ask(), ask(), ask()];
  assert.deepEqual([one.isIn, two.isIn, three.isIn], [true, true, false]);
  const { status, flag, code, headers } = three.exchange.reply ?? {};
  assert.deepEqual(
    { status, flag, code, headers },
    { status: 503, flag: "OM", code: "server_overloaded", headers: [["retry-after", "3"]] },
  );
  assert.equal(bench.counters.get("heddle_overload_refused_total"), 1);
  end(three.exchange);
  end(one.exchange);
  assert.deepEqual([ask().isIn, ask().isIn], [true, false]);
});

test("beyond the rate of a second what comes is refused until the second has passed", () => {
  const { ask, bench, end } = setUp({ qps: 10 });
  for (let i = 0; i < 10; i++) end(ask().exchange);
  assert.equal(ask().isIn, false);
  bench.clock.advance(1000);
  assert.equal(ask().isIn, true);
});

test("beyond the average time what comes is refused, and let in again when the last second has nothing", () => {
  const { ask, bench, serve } = setUp({ averageRtMs: 100 });
  serve(1, 200);
  bench.clock.advance(100);
  assert.equal(ask().isIn, false);
  bench.clock.advance(1100);
  assert.equal(ask().isIn, true);
});

test("how long a tunnel was open is no time that a request took", () => {
  const { ask, bench, end, serve } = setUp({ averageRtMs: 100 });
  const { exchange } = ask();
  bench.clock.advance(3_600_000);
  exchange.isTunnel = true;
  serve(3, 10);
  end(exchange);
  bench.clock.advance(100);
  assert.equal(ask().isIn, true);
});

for (const [name, system] of [
  ["load1", { load1: 9, cpuPercent: 0, eventLoopDelayMs: 0 }],
  ["cpuPercent", { load1: 0, cpuPercent: 99, eventLoopDelayMs: 0 }],
  ["eventLoopDelayMs", { load1: 0, cpuPercent: 0, eventLoopDelayMs: 80 }],
] as const) {
  test(`beyond ${name} no more run at once than the server could do at its best`, () => {
    const config = { [name]: 8 };
    // 100 in a half second, 20 ms each at best: 200 a second times 0.02 s are four at once.
    const count = (options: HarnessOptions): number => {
      const { ask, end, bench } = setUp(config, options);
      bench.clock.advance(500 - (bench.clock.nowMs() % 500));
      for (let i = 0; i < 25; i++) {
        const four: TestExchange[] = [];
        for (let j = 0; j < 4; j++) {
          const exchange = bench.exchange(options);
          four.push(exchange);
        }
        const asked = four.map(() => ask());
        bench.clock.advance(19.9);
        for (const { exchange } of asked) end(exchange);
      }
      bench.clock.advance(100);
      return Array.from({ length: 20 }, () => ask().isIn).filter(Boolean).length;
    };
    assert.equal(count({ system: { load1: 0, cpuPercent: 0, eventLoopDelayMs: 0 } }), 20);
    const most = count({ system });
    assert.ok(most >= 1 && most <= 4, `${most}`);
  });
}

test("one request may always come in, and health checks are never refused", () => {
  const system = { load1: 9, cpuPercent: 0, eventLoopDelayMs: 0 };
  const { ask } = setUp({ load1: 8, concurrency: 1 }, { system });
  assert.equal(ask().isIn, true);
  assert.equal(ask().isIn, false);
  const checker = { headers: [["user-agent", "heddle-health"]] } as const;
  assert.equal(ask({ ...checker, peerIdentity: "spiffe://a/ns/b/sa/c" }).isIn, true);
  assert.equal(ask(checker).isIn, false);
  assert.equal(ask({ headers: [[":path", "/grpc.health.v1.Health/Check"]] }).isIn, true);
});
