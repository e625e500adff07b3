import assert from "node:assert/strict";
import { test } from "node:test";

import { ANSWERED, CONTINUE, type BreakerState, type Pick } from "../filter.ts";
import { answered, FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { circuitBreakerFilter } from "./filter.ts";

class ScriptedBreaker implements BreakerState {
  state: BreakerState["state"] = "closed";
  retryAfterMs = 0;
  permit: "pass" | "probe" | "refused" = "pass";
  readonly reports: string[] = [];

  tryPass(): "pass" | "probe" | "refused" {
    return this.permit;
  }

  report(permit: "pass" | "probe", isSuccess: boolean): void {
    this.reports.push(`${permit} ${isSuccess ? "ok" : "failed"}`);
  }
}

function setUp(breaker: ScriptedBreaker) {
  const options: HarnessOptions = {
    breaker,
    cluster: { breaker: { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 } },
  };
  const bench = new FilterBench();
  const filter = bench.make(circuitBreakerFilter, { rule: "TrafficPolicy shop/pay" }, options);
  const exchange = bench.exchange(options);
  assert.ok(exchange.cluster);
  const pick: Pick = { cluster: exchange.cluster, labels: {}, hash: undefined, avoid: [] };
  return { filter, exchange, pick };
}

test("a closed breaker lets requests through and hears how they went", () => {
  const breaker = new ScriptedBreaker();
  for (const [outcome, word] of [
    [answered(200), "ok"],
    [answered(500), "failed"],
    [answered(404), "ok"],
    [answered(200, [], 14), "failed"],
    [answered(200, [], 5), "ok"],
  ] as const) {
    const { filter, exchange, pick } = setUp(breaker);
    assert.equal(filter.onPick?.(exchange, pick), CONTINUE);
    filter.onAttemptEnd?.(exchange, exchange.attempt(outcome));
    filter.onDone?.(exchange);
    assert.equal(breaker.reports.at(-1), `pass ${word}`);
  }
  assert.equal(breaker.reports.length, 5);
});

test("an open breaker answers 503 at once with the time to come back", () => {
  const breaker = new ScriptedBreaker();
  breaker.permit = "refused";
  breaker.state = "open";
  breaker.retryAfterMs = 3200;
  const { filter, exchange, pick } = setUp(breaker);
  assert.equal(filter.onPick?.(exchange, pick), ANSWERED);
  assert.equal(exchange.reply?.status, 503);
  assert.deepEqual(exchange.reply?.headers, [["retry-after", "4"]]);
  assert.match(exchange.reply?.detail ?? "", /the circuit breaker of backend is open/);
});

test("a probe whose client went away gives its permit back", () => {
  const breaker = new ScriptedBreaker();
  breaker.permit = "probe";
  const { filter, exchange, pick } = setUp(breaker);
  filter.onPick?.(exchange, pick);
  filter.onDone?.(exchange);
  assert.deepEqual(breaker.reports, ["probe failed"]);
});

test("of a request the first attempt counts alone, and another one is asked about only when the breaker is not closed any more", () => {
  const breaker = new ScriptedBreaker();
  const { filter, exchange, pick } = setUp(breaker);
  for (let attempt = 0; attempt < 3; attempt++) {
    assert.equal(filter.onPick?.(exchange, pick), CONTINUE);
    filter.onAttemptEnd?.(exchange, exchange.attempt(answered(503)));
  }
  assert.deepEqual(breaker.reports, ["pass failed"]);
  breaker.state = "open";
  breaker.permit = "refused";
  assert.equal(filter.onPick?.(exchange, pick), ANSWERED);
});

test("a second attempt beside a probe is the same request", () => {
  const breaker = new ScriptedBreaker();
  breaker.permit = "probe";
  const { filter, exchange, pick } = setUp(breaker);
  filter.onPick?.(exchange, pick);
  breaker.permit = "refused";
  assert.equal(filter.onPick?.(exchange, pick), CONTINUE);
  filter.onAttemptEnd?.(exchange, exchange.attempt(answered(200)));
  filter.onDone?.(exchange);
  assert.deepEqual(breaker.reports, ["probe ok"]);
});

test("to wait in vain until the stream's own limit is a failure, to leave before is none", () => {
  for (const [status, reports] of [
    [504, ["pass failed"]],
    [408, []],
    [undefined, []],
  ] as const) {
    const breaker = new ScriptedBreaker();
    const { filter, exchange, pick } = setUp(breaker);
    filter.onPick?.(exchange, pick);
    if (status !== undefined)
      exchange.answer({
        status,
        flag: "DT",
        code: "max_stream_duration",
        proxyStatus: "http_response_timeout",
        detail: "too long",
      });
    filter.onDone?.(exchange);
    assert.deepEqual(breaker.reports, reports);
  }
});

test("a cluster without a policy has no breaker", () => {
  const bench = new FilterBench();
  const filter = bench.make(circuitBreakerFilter, {});
  const exchange = bench.exchange({ cluster: {} });
  assert.ok(exchange.cluster);
  assert.equal(
    filter.onPick?.(exchange, { cluster: exchange.cluster, labels: {}, hash: undefined, avoid: [] }),
    CONTINUE,
  );
});

test("a route's own policy goes before the cluster's", () => {
  const [own, clusters] = [new ScriptedBreaker(), new ScriptedBreaker()];
  own.permit = "refused";
  own.state = "open";
  const policy = { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 };
  const config = circuitBreakerFilter.parse({ rule: "HTTPRoute shop/pay", policy });
  const options: HarnessOptions = {
    breaker: clusters,
    breakers: (scope) => (scope === "HTTPRoute shop/pay" ? own : clusters),
    cluster: { breaker: policy },
    override: { isDisabled: false, config },
  };
  const bench = new FilterBench();
  const filter = bench.make(circuitBreakerFilter, {}, options);
  const exchange = bench.exchange(options);
  assert.ok(exchange.cluster);
  const pick: Pick = { cluster: exchange.cluster, labels: {}, hash: undefined, avoid: [] };
  assert.equal(filter.onPick?.(exchange, pick), ANSWERED);
  assert.equal(exchange.reply?.rule, "HTTPRoute shop/pay");
});

test("with a breaker for each tenant one tenant's failures stop no other", () => {
  const breakers = new Map<string, ScriptedBreaker>();
  const options: HarnessOptions = {
    breakers: (_scope, key) => {
      const breaker = breakers.get(key) ?? new ScriptedBreaker();
      breakers.set(key, breaker);
      if (key === "bad") breaker.permit = "refused";
      return breaker;
    },
    cluster: {
      breaker: { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000, per: "tenant" },
    },
  };
  const bench = new FilterBench();
  const filter = bench.make(circuitBreakerFilter, {}, options);
  const ask = (tenant: string | undefined): unknown => {
    const exchange = bench.exchange(options);
    if (tenant !== undefined) exchange.note("tenant", tenant);
    assert.ok(exchange.cluster);
    return filter.onPick?.(exchange, { cluster: exchange.cluster, labels: {}, hash: undefined, avoid: [] });
  };
  assert.deepEqual([ask("good"), ask("bad"), ask(undefined)], [CONTINUE, ANSWERED, CONTINUE]);
  assert.deepEqual([...breakers.keys()], ["good", "bad", ""]);
});
