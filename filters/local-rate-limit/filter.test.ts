import assert from "node:assert/strict";
import { test } from "node:test";

import { ANSWERED, CONTINUE } from "../filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { ENVOY_LOCAL_RATE_LIMIT, parseRateLimit } from "./config.ts";
import { localRateLimitFilter } from "./filter.ts";

const CONFIG = { rule: "RateLimitPolicy shop/cart", buckets: [{ name: "all", requests: 100, perMs: 1000, burst: 20 }] };

function makeAsker(config: object, base: HarnessOptions = {}) {
  const bench = new FilterBench();
  const filter = bench.make(localRateLimitFilter, { ...CONFIG, ...config }, base);
  return {
    bench,
    filter,
    ask: (options: HarnessOptions = base) => {
      const exchange = bench.exchange(options);
      return { verdict: filter.onRouted?.(exchange, exchange.request), exchange };
    },
  };
}

test("a full bucket lets its burst through and then one request every 10 ms", () => {
  const { bench, ask } = makeAsker({});
  const count = (times: number): number =>
    Array.from({ length: times }, () => ask().verdict).filter((verdict) => verdict === CONTINUE).length;
  assert.equal(count(50), 20);
  bench.clock.advance(100);
  assert.equal(count(50), 10);
  bench.clock.advance(10_000);
  assert.equal(count(50), 20);
});

test("a refused request hears when to come back, and which rule it was", () => {
  const { ask, bench } = makeAsker({ buckets: [{ requests: 1, perMs: 5000, burst: 1 }] });
  ask();
  const { verdict, exchange } = ask();
  assert.equal(verdict, ANSWERED);
  assert.equal(exchange.reply?.status, 429);
  const headers = new Map(exchange.reply?.headers);
  assert.equal(headers.get("retry-after"), "5");
  assert.equal(headers.get("x-ratelimit-limit"), "1");
  assert.equal(headers.get("x-ratelimit-remaining"), "0");
  assert.equal(exchange.reply?.rule, "RateLimitPolicy shop/cart");
  assert.equal(bench.counters.get("heddle_rate_limited_total"), 1);
});

test("an allowed request's answer carries what is left", () => {
  const { filter, ask } = makeAsker({});
  const { exchange } = ask();
  const head = HeaderBlock.of([":status", "200"]);
  filter.onResponseHead?.(exchange, head, true);
  assert.equal(head.get("x-ratelimit-limit"), "20");
  assert.equal(head.get("x-ratelimit-remaining"), "19");
});

test("each key has a bucket of its own", () => {
  const { ask } = makeAsker({
    buckets: [{ requests: 1, perMs: 60_000, burst: 1, keys: [{ type: "header", name: "x-user" }] }],
  });
  for (const user of ["ann", "bob", "cid"]) {
    assert.equal(ask({ headers: [["x-user", user]] }).verdict, CONTINUE, user);
    assert.equal(ask({ headers: [["x-user", user]] }).verdict, ANSWERED, user);
  }
});

test("a million keys stay within the table", () => {
  const { ask } = makeAsker({
    buckets: [{ requests: 1, perMs: 60_000, burst: 1, maxKeys: 100, keys: [{ type: "header", name: "x-user" }] }],
  });
  for (let i = 0; i < 5000; i++) assert.equal(ask({ headers: [["x-user", `user-${i}`]] }).verdict, CONTINUE);
});

test("a bucket lives on through a new configuration, unless its definition changed", () => {
  const bench = new FilterBench();
  const askWith = (burst: number): unknown => {
    const filter = bench.make(localRateLimitFilter, { ...CONFIG, buckets: [{ requests: 1, perMs: 60_000, burst }] });
    const exchange = bench.exchange();
    return filter.onRouted?.(exchange, exchange.request);
  };
  assert.equal(askWith(1), CONTINUE);
  assert.equal(askWith(1), ANSWERED);
  assert.equal(askWith(2), CONTINUE);
});

test("Envoy's message is read, and what has no meaning here is refused by path", () => {
  const config = parseRateLimit(
    {
      statPrefix: "limit",
      tokenBucket: { maxTokens: 20, tokensPerFill: 100, fillInterval: "1s" },
      filterEnabled: { defaultValue: { numerator: 100 } },
      filterEnforced: { defaultValue: { numerator: 100, denominator: "HUNDRED" } },
      enableXRatelimitHeaders: "DRAFT_VERSION_03",
    },
    ENVOY_LOCAL_RATE_LIMIT,
  );
  assert.deepEqual(config.buckets[0]?.spec, { maxTokens: 20, tokensPerFill: 100, fillIntervalMs: 1000 });
  assert.equal(config.hasHeaders, true);
  assert.throws(() => parseRateLimit({ descriptors: [{}] }, ENVOY_LOCAL_RATE_LIMIT), /descriptors must be left out/);
  assert.throws(
    () => parseRateLimit({ filterEnabled: { defaultValue: { numerator: 50 } } }, ENVOY_LOCAL_RATE_LIMIT),
    /filterEnabled\.defaultValue must be 100 percent/,
  );
});

for (const keys of [[], [{ type: "identity" }]]) {
  test(`a tunnel that was not needed is not charged, ${keys.length === 0 ? "without keys" : "by key"}`, () => {
    const buckets = [{ requests: 1, perMs: 60_000, burst: 2, keys }];
    const { bench, filter, ask } = makeAsker({ buckets }, { peerIdentity: "spiffe://a/ns/b/sa/c" });
    const open = (): ReturnType<typeof bench.exchange> => {
      const exchange = bench.exchange({ peerIdentity: "spiffe://a/ns/b/sa/c" });
      exchange.isTerminated = true;
      assert.equal(filter.onRouted?.(exchange, exchange.request), CONTINUE);
      return exchange;
    };
    const [used, unused] = [open(), open()];
    assert.equal(ask().verdict, ANSWERED);
    filter.onDone?.(used);
    assert.equal(ask().verdict, ANSWERED);
    unused.isUnused = true;
    filter.onDone?.(unused);
    assert.equal(ask().verdict, CONTINUE);
    assert.equal(ask().verdict, ANSWERED);
  });
}

test("a tunnel that is given up after the bucket was full again gives nothing back twice", () => {
  const { bench, filter, ask } = makeAsker({ buckets: [{ requests: 1, perMs: 1000, burst: 2 }] });
  const held = [bench.exchange(), bench.exchange()];
  for (const exchange of held) {
    exchange.isTerminated = true;
    exchange.isUnused = true;
    filter.onRouted?.(exchange, exchange.request);
  }
  bench.clock.advance(5000);
  for (let i = 0; i < 2; i++) assert.equal(ask().verdict, CONTINUE);
  for (const exchange of held) filter.onDone?.(exchange);
  assert.equal(ask().verdict, ANSWERED);
});
