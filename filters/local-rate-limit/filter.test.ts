import assert from "node:assert/strict";
import { test } from "node:test";

import type { JsonValue } from "#config/model/filter-config.ts";
import { ANSWERED, CONTINUE } from "../filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { localRateLimitFilter } from "./filter.ts";

const RULE = "RateLimitPolicy shop/cart";

interface TestConfig {
  readonly buckets: readonly object[];
}

const CONFIG = { buckets: [{ name: "all", requests: 100, perMs: 1000, burst: 20 }] };

/** All buckets are of one policy. */
function configOf({ buckets, ...rest }: TestConfig): JsonValue {
  return { ...rest, buckets: buckets.map((bucket) => ({ rule: RULE, ...bucket })) };
}

function makeAsker(config: object, base: HarnessOptions = {}) {
  const bench = new FilterBench();
  const filter = bench.make(localRateLimitFilter, configOf({ ...CONFIG, ...config }), base);
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
  assert.equal(headers.get("x-ratelimit-reset"), "5");
  assert.equal(headers.get("ratelimit-policy"), '"default";q=1;w=5');
  assert.equal(headers.get("ratelimit"), '"default";r=0;t=5');
  assert.equal(exchange.reply?.rule, "RateLimitPolicy shop/cart");
  assert.equal(bench.counters.get("heddle_rate_limited_total"), 1);
  assert.equal(bench.counters.get("heddle_rate_limit_requests_total"), 2);
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

test("a bucket lives on through a new configuration, and is as full as it was when its definition changes", () => {
  const bench = new FilterBench();
  const askWith = (burst: number): unknown => {
    const filter = bench.make(localRateLimitFilter, configOf({ buckets: [{ requests: 1, perMs: 60_000, burst }] }));
    const exchange = bench.exchange();
    return filter.onRouted?.(exchange, exchange.request);
  };
  assert.equal(askWith(1), CONTINUE);
  assert.equal(askWith(1), ANSWERED);
  assert.equal(askWith(4), ANSWERED);
  bench.clock.advance(60_000);
  assert.equal(askWith(4), CONTINUE);
  assert.equal(askWith(4), ANSWERED);
  bench.clock.advance(120_000);
  // Half full of four: of two, that is one.
  assert.equal(askWith(2), CONTINUE);
  assert.equal(askWith(2), ANSWERED);
});

test("a key's bucket is as full as it was when the definition changes, and a full one stays full", () => {
  const bench = new FilterBench();
  const askWith = (burst: number, user: string): unknown => {
    const keys = [{ type: "header", name: "x-user" }];
    const config = configOf({ buckets: [{ requests: 1, perMs: 60_000, burst, keys }] });
    const exchange = bench.exchange({ headers: [["x-user", user]] });
    return bench.make(localRateLimitFilter, config).onRouted?.(exchange, exchange.request);
  };
  assert.equal(askWith(1, "ann"), CONTINUE);
  for (const burst of [1, 4, 2, 4]) assert.equal(askWith(burst, "ann"), ANSWERED, `burst ${burst}`);
  for (let i = 0; i < 4; i++) assert.equal(askWith(4, "bob"), CONTINUE);
  assert.equal(askWith(4, "bob"), ANSWERED);
});

test("a quota is for one value of the key, the others have what the bucket says", () => {
  const keys = [{ type: "header", name: "x-tenant" }];
  const quotas = [{ values: ["acme"], requests: 5, perMs: 3_600_000 }];
  const { ask } = makeAsker({ buckets: [{ requests: 1, perMs: 60_000, keys, quotas }] });
  const passed = (tenant: string): number =>
    Array.from({ length: 9 }, () => ask({ headers: [["x-tenant", tenant]] }).verdict).filter(
      (said) => said === CONTINUE,
    ).length;
  assert.deepEqual(["acme", "globex", "", "initech"].map(passed), [5, 1, 1, 1]);
});

test("what is applied to a request is told alike in all headers: a quota's numbers, and no bucket that is for others", () => {
  const keys = [{ type: "header", name: "x-tenant" }];
  const quotas = [{ values: ["acme"], requests: 5, perMs: 1000, burst: 5 }];
  const buckets = [
    { name: "tenants", requests: 2, perMs: 60_000, keys, quotas },
    { name: "posts", requests: 9, perMs: 1000, match: { methods: ["POST"], headers: [] } },
  ];
  const { ask, filter } = makeAsker({ buckets });
  const told = (tenant: string, method: string): readonly (string | undefined)[] => {
    const { exchange } = ask({
      headers: [
        [":method", method],
        ["x-tenant", tenant],
      ],
    });
    const head = HeaderBlock.of([":status", "200"]);
    filter.onResponseHead?.(exchange, head, true);
    return ["ratelimit-policy", "ratelimit", "x-ratelimit-limit"].map((name) => head.get(name));
  };
  assert.deepEqual(told("acme", "GET"), ['"tenants";q=5;w=1', '"tenants";r=4;t=0', "5"]);
  assert.deepEqual(told("globex", "GET"), ['"tenants";q=2;w=60', '"tenants";r=1;t=0', "2"]);
  assert.deepEqual(told("acme", "POST"), ['"tenants";q=5;w=1, "posts";q=9;w=1', '"tenants";r=3;t=0', "5"]);
});

test("keys are read from every part of a request", () => {
  const peerIdentity = "spiffe://mesh/ns/shop/sa/cart";
  const get = (path: string, headers: readonly (readonly [string, string])[] = []): HarnessOptions => ({
    headers: [[":path", path], ...headers],
    peerIdentity,
    remoteAddress: "10.1.2.3",
  });
  const other = { ...get("/a/b"), peerIdentity: "spiffe://mesh/ns/shop/sa/web", remoteAddress: "10.1.2.4" };
  const cases: readonly (readonly [object, HarnessOptions, HarnessOptions, boolean])[] = [
    [{ type: "query", name: "user" }, get("/?user=a"), get("/?user=b"), false],
    [{ type: "query", name: "user" }, get("/?user=a"), get("/x?y=1&user=a"), true],
    [{ type: "cookie", name: "sid" }, get("/", [["cookie", "a=1; sid=x"]]), get("/", [["cookie", "sid=y"]]), false],
    [{ type: "cookie", name: "sid" }, get("/", [["cookie", "a=1; sid=x"]]), get("/", [["cookie", 'sid="x"']]), true],
    [{ type: "path", segments: 1 }, get("/a/b"), get("/a/c?q"), true],
    [{ type: "path", segments: 2 }, get("/a/b"), get("/a/c?q"), false],
    [{ type: "path" }, get("/a/b"), get("/a/b?q"), true],
    [{ type: "identity", part: "namespace" }, get("/"), other, true],
    [{ type: "identity", part: "serviceAccount" }, get("/"), other, false],
    [{ type: "identity" }, get("/"), other, false],
    [{ type: "remoteAddress", ipv4Bits: 24 }, get("/"), other, true],
    [{ type: "remoteAddress" }, get("/"), other, false],
    [{ type: "host" }, get("/", [[":authority", "A"]]), get("/", [[":authority", "a"]]), true],
  ];
  for (const [key, first, second, isSame] of cases) {
    const { ask } = makeAsker({ buckets: [{ requests: 1, perMs: 60_000, keys: [key] }] });
    assert.equal(ask(first).verdict, CONTINUE);
    assert.equal(ask(second).verdict, isSame ? ANSWERED : CONTINUE, JSON.stringify(key));
  }
});

test("a bucket may be for some requests only, and what another refused is not taken from it", () => {
  const { ask } = makeAsker({
    buckets: [
      { name: "writes", requests: 1, perMs: 60_000, match: { methods: ["POST"], pathPrefix: "/cart" } },
      { name: "all", requests: 2, perMs: 60_000 },
    ],
  });
  const post = {
    headers: [
      [":method", "POST"],
      [":path", "/cart/1"],
    ],
  } as const;
  assert.equal(ask(post).verdict, CONTINUE);
  for (let i = 0; i < 3; i++) assert.match(ask(post).exchange.reply?.detail ?? "", /bucket "writes"/);
  assert.equal(ask({ headers: [[":path", "/cartoon"]] }).verdict, CONTINUE);
  assert.match(ask().exchange.reply?.detail ?? "", /bucket "all"/);
});

test("gRPC gets the code that the bucket says", () => {
  const { ask } = makeAsker({ buckets: [{ requests: 1, perMs: 60_000, grpcStatus: 8 }] });
  ask();
  assert.equal(ask().exchange.reply?.grpcStatus, 8);
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
