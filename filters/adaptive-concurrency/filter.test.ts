import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusCodeSchema } from "#config/xds/gen/envoy/type/v3/http_status_pb.ts";

import { ANSWERED, CONTINUE } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { parseAdaptiveConcurrency } from "./config.ts";
import { adaptiveConcurrencyFilter } from "./filter.ts";

const CONFIG = {
  gradientControllerConfig: {
    concurrencyLimitParams: { maxConcurrencyLimit: 2, concurrencyUpdateInterval: "0.1s" },
    minRttCalcParams: { fixedValue: "0.010s", minConcurrency: 2 },
  },
};

function setUp(config: object = CONFIG, options: HarnessOptions = {}) {
  const bench = new FilterBench();
  const filter = bench.make(adaptiveConcurrencyFilter, JSON.parse(JSON.stringify(config)), options);
  const ask = () => {
    const exchange = bench.exchange(options);
    return { exchange, verdict: filter.onRouted?.(exchange, exchange.request) };
  };
  return { bench, filter, ask };
}

test("beyond the limit requests are answered 503, and places come back however requests end", () => {
  const { bench, filter, ask } = setUp();
  const [one, two, three] = [ask(), ask(), ask()];
  assert.deepEqual([one.verdict, two.verdict, three.verdict], [CONTINUE, CONTINUE, ANSWERED]);
  assert.equal(three.exchange.reply?.status, 503);
  assert.equal(three.exchange.reply?.code, "concurrency_limit_reached");
  assert.equal(bench.counters.get("heddle_adaptive_concurrency_blocked_total"), 1);
  assert.equal(bench.gauges.get("heddle_adaptive_concurrency_running")?.(), 2);
  one.exchange.isAnswered = true;
  for (const { exchange } of [one, two, three]) filter.onDone?.(exchange);
  assert.equal(bench.gauges.get("heddle_adaptive_concurrency_running")?.(), 0);
  assert.equal(ask().verdict, CONTINUE);
});

test("how long a tunnel was open is no sample, and its place comes back", () => {
  const { bench, filter, ask } = setUp();
  const { exchange } = ask();
  exchange.isAnswered = true;
  exchange.isTunnel = true;
  bench.clock.advance(60_000);
  filter.onDone?.(exchange);
  ask();
  assert.equal(bench.gauges.get("heddle_adaptive_concurrency_sample_rtt_seconds")?.(), 0);
  assert.equal(bench.gauges.get("heddle_adaptive_concurrency_running")?.(), 1);
});

test("the status is the configuration's, and one that is no error becomes 503", () => {
  const status = (code: string | number): number | undefined => {
    const { ask } = setUp({ ...CONFIG, concurrencyLimitExceededStatus: { code } });
    return [ask(), ask(), ask()].at(-1)?.exchange.reply?.status;
  };
  assert.equal(status("TooManyRequests"), 429);
  assert.equal(status(200), 503);
  assert.equal(status(499), 499);
  // All that xDS has a name for comes by it.
  for (const { name, number } of StatusCodeSchema.values) if (number >= 400) assert.equal(status(name), number, name);
});

test("a change of anything but the gradient's own settings keeps limit and count", () => {
  const bench = new FilterBench();
  const ask = (config: object) => {
    const filter = bench.make(adaptiveConcurrencyFilter, JSON.parse(JSON.stringify(config)));
    const exchange = bench.exchange();
    return filter.onRouted?.(exchange, exchange.request);
  };
  assert.deepEqual([ask(CONFIG), ask(CONFIG)], [CONTINUE, CONTINUE]);
  assert.equal(ask({ ...CONFIG, concurrencyLimitExceededStatus: { code: "TooManyRequests" } }), ANSWERED);
});

test("one that is not enabled lets everything through, and a route may turn it off", () => {
  const count = (config: object, options?: HarnessOptions): number => {
    const { ask } = setUp(config, options);
    return Array.from({ length: 5 }, () => ask().verdict).filter((verdict) => verdict === CONTINUE).length;
  };
  assert.equal(count({ ...CONFIG, enabled: { defaultValue: false } }), 5);
  assert.equal(count(CONFIG, { override: { isDisabled: true, config: undefined } }), 5);
  assert.equal(count(CONFIG), 2);
});

test("what Envoy refuses is refused by path, and what is absent is Envoy's default", () => {
  const config = parseAdaptiveConcurrency({
    gradientControllerConfig: {
      concurrencyLimitParams: { concurrencyUpdateInterval: "0.1s" },
      minRttCalcParams: { interval: "60s" },
    },
  });
  assert.deepEqual(config.gradient, {
    percentile: 0.5,
    maxLimit: 1000,
    updateIntervalMs: 100,
    minRttIntervalMs: 60_000,
    fixedMinRttUs: undefined,
    minRttRequests: 50,
    jitter: 0.15,
    minLimit: 3,
    buffer: 0.25,
  });
  assert.equal(config.status, 503);
  assert.throws(() => parseAdaptiveConcurrency({}), /gradientControllerConfig must be set/);
  assert.throws(
    () =>
      parseAdaptiveConcurrency({
        gradientControllerConfig: {
          concurrencyLimitParams: { concurrencyUpdateInterval: "0.1s" },
          minRttCalcParams: {},
        },
      }),
    /minRttCalcParams\.interval must be a duration/,
  );
});
