// Envoy's message: descriptors, shares, and whose limits hold. What Envoy itself does is in e2e/differential.
import assert from "node:assert/strict";
import { test } from "node:test";

import type { JsonValue } from "#config/model/filter-config.ts";
import type { Route, VirtualHost } from "#config/model/route.ts";

import { ANSWERED, CONTINUE, type RouteOverride } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { ENVOY_LOCAL_RATE_LIMIT, parseRateLimit } from "./config.ts";
import { localRateLimitFilter } from "./filter.ts";

const ALWAYS = { defaultValue: { numerator: 100 } };
const BASE = { statPrefix: "limit", filterEnabled: ALWAYS, filterEnforced: ALWAYS };
const WIDE = { maxTokens: 100, tokensPerFill: 100, fillInterval: "60s" };

function bucket(maxTokens: number, fillInterval = "60s"): { [name: string]: JsonValue } {
  return { maxTokens, tokensPerFill: 1, fillInterval };
}

function parse(fields: { [name: string]: JsonValue }): ReturnType<typeof parseRateLimit> {
  return parseRateLimit({ ...BASE, ...fields }, ENVOY_LOCAL_RATE_LIMIT);
}

function makeAsker(fields: { [name: string]: JsonValue }, base: HarnessOptions = {}) {
  const bench = new FilterBench();
  const filter = localRateLimitFilter.make(parse(fields), bench.context(base, localRateLimitFilter.name));
  return {
    bench,
    ask: (options: HarnessOptions = {}) => {
      const exchange = bench.exchange({ ...base, ...options });
      return { verdict: filter.onRouted?.(exchange, exchange.request), exchange };
    },
  };
}

const BY_USER = [{ actions: [{ requestHeaders: { headerName: "x-user", descriptorKey: "user" } }] }];

function as(user: string): HarnessOptions {
  return { headers: [["x-user", user]] };
}

test("a descriptor with a value has its bucket, and one without has a bucket for each value", () => {
  const { ask } = makeAsker({
    tokenBucket: WIDE,
    rateLimits: BY_USER,
    maxDynamicDescriptors: 2,
    descriptors: [
      { entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(2) },
      { entries: [{ key: "user" }], tokenBucket: bucket(1) },
    ],
  });
  const passes = (user: string): boolean => ask(as(user)).verdict === CONTINUE;
  assert.deepEqual(["ann", "ann", "ann"].map(passes), [true, true, false]);
  assert.deepEqual(["bob", "bob", "cid", "cid"].map(passes), [true, false, true, false]);
  // There is room for two: the one unused for longest goes.
  assert.deepEqual(["dan", "cid", "bob"].map(passes), [true, false, true]);
  for (let i = 0; i < 20; i++) assert.equal(ask().verdict, CONTINUE);
});

test("the filter's own bucket gives a token for every request, unless it is told to leave those with a descriptor alone", () => {
  const fields = {
    tokenBucket: bucket(1),
    rateLimits: BY_USER,
    descriptors: [{ entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(9) }],
  };
  const both = makeAsker(fields);
  assert.deepEqual(
    [both.ask(as("ann")), both.ask(as("ann"))].map(({ verdict }) => verdict),
    [CONTINUE, ANSWERED],
  );
  const apart = makeAsker({ ...fields, alwaysConsumeDefaultTokenBucket: false });
  for (let i = 0; i < 9; i++) assert.equal(apart.ask(as("ann")).verdict, CONTINUE);
  assert.equal(apart.ask(as("ann")).verdict, ANSWERED);
  assert.deepEqual(
    [apart.ask(), apart.ask()].map(({ verdict }) => verdict),
    [CONTINUE, ANSWERED],
  );
});

test("a request counts for what the limit says", () => {
  const [rule] = BY_USER;
  const { ask } = makeAsker({
    tokenBucket: WIDE,
    rateLimits: [{ ...rule, hitsAddend: { number: "3" } }],
    descriptors: [{ entries: [{ key: "user", value: "ann" }], tokenBucket: bucket(7) }],
  });
  assert.deepEqual(
    [ask(as("ann")), ask(as("ann")), ask(as("ann"))].map(({ verdict }) => verdict),
    [CONTINUE, CONTINUE, ANSWERED],
  );
});

const ENTRY = { entries: [{ key: "who", value: "route" }], tokenBucket: bucket(1) };
const HOST_ENTRY = { entries: [{ key: "who", value: "host" }], tokenBucket: bucket(1) };

function say(value: string): JsonValue[] {
  return [{ actions: [{ genericKey: { descriptorKey: "who", descriptorValue: value } }] }];
}

for (const [option, ofRoute, include, used] of [
  ["OVERRIDE", true, false, ["route"]],
  ["OVERRIDE", false, false, ["host"]],
  ["INCLUDE", true, false, ["route", "host"]],
  ["IGNORE", false, false, []],
  ["IGNORE", true, true, ["route", "host"]],
] as const) {
  test(`limits of route and host: ${option}${ofRoute ? ", the route has some" : ""}${include ? ", and includes its host's" : ""}`, () => {
    const route = {
      name: "r",
      action: {
        kind: "forward",
        ...(ofRoute ? { rateLimits: say("route") } : {}),
        includeVirtualHostRateLimits: include,
      },
    } as unknown as Route; // as: what the filter reads of it
    const virtualHost = { name: "v", rateLimits: say("host") } as unknown as VirtualHost; // as: likewise
    for (const [name, descriptor] of [
      ["route", ENTRY],
      ["host", HOST_ENTRY],
    ] as const) {
      const { ask } = makeAsker(
        { tokenBucket: WIDE, descriptors: [descriptor], vhRateLimits: option },
        { route, virtualHost },
      );
      ask();
      const isLimited = ask().verdict === ANSWERED;
      assert.equal(
        isLimited,
        used.some((word) => word === name),
        name,
      );
    }
  });
}

test("a share of the requests is looked at, and a share of those over the limit is refused", () => {
  const count = (fields: { [name: string]: JsonValue }): number => {
    const { ask } = makeAsker({ tokenBucket: bucket(1), ...fields });
    return Array.from({ length: 2000 }, () => ask().verdict).filter((verdict) => verdict === ANSWERED).length;
  };
  const half = { defaultValue: { numerator: 500_000, denominator: "MILLION" } };
  // Four sigma of 2000 draws are 90.
  assert.ok(Math.abs(count({ filterEnforced: half }) - 1000) < 90);
  assert.ok(Math.abs(count({ filterEnabled: half }) - 1000) < 90);
  assert.equal(count({ filterEnabled: { defaultValue: {} } }), 0);
});

test("what is over the limit and not enforced goes on with the headers that say so", () => {
  const { ask } = makeAsker({
    tokenBucket: bucket(1),
    filterEnforced: { defaultValue: { numerator: 0 } },
    requestHeadersToAddWhenNotEnforced: [
      { header: { key: "x-limited", value: "100%%" } },
      { header: { key: "x-user", value: "none" }, appendAction: "ADD_IF_ABSENT" },
    ],
  });
  assert.equal(ask().exchange.request.get("x-limited"), undefined);
  const { verdict, exchange } = ask(as("ann"));
  assert.equal(verdict, CONTINUE);
  assert.deepEqual([exchange.request.get("x-limited"), exchange.request.get("x-user")], ["100%", "ann"]);
});

test("each connection has its own tokens where the filter says so", () => {
  const { bench } = makeAsker({});
  const filter = localRateLimitFilter.make(
    parse({ tokenBucket: bucket(1), localRateLimitPerDownstreamConnection: true }),
    bench.context({}, "limit"),
  );
  const [first, second] = [bench.exchange(), bench.exchange()];
  const verdicts = [first, first, second, second].map((exchange) => filter.onRouted?.(exchange, exchange.request));
  assert.deepEqual(verdicts, [CONTINUE, ANSWERED, CONTINUE, ANSWERED]);
});

test("two routes that say the same have a bucket each, and all routes of one host share what the host says", () => {
  const { ask } = makeAsker({});
  const config = parse({ tokenBucket: bucket(1) });
  const override = (owner: string, own: unknown = config): RouteOverride => ({ isDisabled: false, config: own, owner });
  const again = parse({ tokenBucket: bucket(1) });
  assert.equal(ask({ override: override("v/a") }).verdict, CONTINUE);
  assert.equal(ask({ override: override("v/b", again) }).verdict, CONTINUE);
  assert.equal(ask({ override: override("v/a") }).verdict, ANSWERED);
  const [one, two] = [parse({ tokenBucket: bucket(1) }), parse({ tokenBucket: bucket(1) })];
  assert.equal(ask({ override: override("host", one) }).verdict, CONTINUE);
  assert.equal(ask({ override: override("host", two) }).verdict, ANSWERED);
});

test("gRPC gets UNAVAILABLE, as HTTP's 429 is mapped, or RESOURCE_EXHAUSTED by choice; status and headers are the filter's", () => {
  const plain = makeAsker({ tokenBucket: bucket(1), status: { code: "ServiceUnavailable" } });
  plain.ask();
  const reply = plain.ask().exchange.reply;
  assert.deepEqual([reply?.status, reply?.grpcStatus], [503, undefined]);
  const exhausted = makeAsker({
    tokenBucket: bucket(1),
    rateLimitedAsResourceExhausted: true,
    status: { code: "OK" },
    enableXRatelimitHeaders: "DRAFT_VERSION_03",
    responseHeadersToAdd: [{ header: { key: "X-Why", value: "limit" }, append: false }],
  });
  exhausted.ask();
  const other = exhausted.ask().exchange.reply;
  const headers = new Map(other?.headers);
  assert.deepEqual([other?.status, other?.grpcStatus], [429, 8]);
  assert.deepEqual([headers.get("x-why"), headers.get("x-ratelimit-reset")], ["limit", "60"]);
});

test("what has no meaning here is refused by its path", () => {
  const cases: readonly (readonly [{ [name: string]: JsonValue }, RegExp])[] = [
    [{ localClusterRateLimit: {} }, /^localClusterRateLimit must be left out/],
    [{ tokenBucket: bucket(0) }, /^tokenBucket\.maxTokens must be a number from 1/],
    [{ tokenBucket: bucket(1, "0.01s") }, /^tokenBucket\.fillInterval must be at least 50 ms/],
    [{ tokenBucket: WIDE, descriptors: [{ entries: [{ key: "a" }], tokenBucket: bucket(1, "70s") }] }, /multiple/],
    [{ descriptors: [{ entries: [{ key: "a" }] }] }, /^descriptors\[0\]\.tokenBucket must be a token bucket/],
    [{ descriptors: [ENTRY, ENTRY] }, /^descriptors\[1\]\.entries must be unlike/],
    [{ rateLimits: [{ actions: [{ metadata: {} }] }] }, /^rateLimits\[0\]\.actions\[0\]\.metadata must be left out/],
    [{ rateLimits: [{ actions: [] }] }, /^rateLimits\[0\]\.actions must be at least one/],
    [{ rateLimits: [{ stage: 1, actions: [{ remoteAddress: {} }] }] }, /^rateLimits\[0\]\.stage must be left out/],
    [{ rateLimits: [{ hitsAddend: { format: "%REQ(a)%" } }] }, /hitsAddend\.number must be a number/],
    [{ responseHeadersToAdd: [{ header: { key: "a", value: "%PROTOCOL%" } }] }, /header\.value must be a plain value/],
  ];
  for (const [fields, message] of cases)
    assert.throws(
      () => parse(fields),
      (error: Error) => message.test(error.message) || assert.fail(error.message),
    );
});
