// The global rate limit: what is asked, and what is made of the answers. With the real server: e2e/governance/global-limits.e2e.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, fromJson, toBinary, type JsonObject } from "@bufbuild/protobuf";
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Route } from "#config/model/route.ts";
import { RateLimitRequestSchema, RateLimitResponseSchema } from "#config/xds/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { ANSWERED, CONTINUE, PAUSE, type UnaryRequest, type UnaryResult } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import {
  HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE,
  parseRateLimitSettings,
  RATE_LIMIT,
  RATE_LIMIT_PER_ROUTE,
} from "./config.ts";
import { rateLimitFilter } from "./filter.ts";
import { decodeAnswer } from "./messages.ts";

const SERVICE = { transportApiVersion: "V3", grpcService: { envoyGrpc: { clusterName: "limits" } } };
const BASE = {
  domain: "shop",
  rateLimitService: SERVICE,
  rateLimits: [
    { actions: [{ requestHeaders: { headerName: "x-user", descriptorKey: "user" } }, { remoteAddress: {} }] },
  ],
};
const ROUTE = { name: "r", action: { kind: "forward" } } as unknown as Route; // as: what the filter reads of it

/** RateLimitResponse as JSON: 1 is OK, 2 is over the limit. */
function encode(answer: JsonObject): Buffer {
  return Buffer.from(toBinary(RateLimitResponseSchema, fromJson(RateLimitResponseSchema, answer)));
}

function makeAsker(fields: { [name: string]: JsonValue } = {}, base: HarnessOptions = {}) {
  const calls: {
    readonly request: UnaryRequest;
    readonly answer: (result: UnaryResult) => void;
    isGivenUp: boolean;
  }[] = [];
  const options: HarnessOptions = {
    route: ROUTE,
    cluster: { name: "backend" },
    unary: (request, answer) => {
      const call = { request, answer, isGivenUp: false };
      calls.push(call);
      return () => (call.isGivenUp = true);
    },
    ...base,
  };
  const bench = new FilterBench();
  const config = parseRateLimitSettings({ ...BASE, ...fields }, RATE_LIMIT);
  const filter = rateLimitFilter.make(config, bench.context(options, rateLimitFilter.name));
  return {
    bench,
    filter,
    calls,
    ask: (more: HarnessOptions = {}) => {
      const exchange = bench.exchange({ ...options, headers: [["x-user", "ann"]], ...more });
      return { exchange, verdict: filter.onRouted?.(exchange, exchange.request) };
    },
  };
}

test("the service is asked with the domain and all descriptors, and the request waits", () => {
  const rule = { actions: [{ genericKey: { descriptorValue: "all" } }], hitsAddend: { number: 300 } };
  const { calls, ask } = makeAsker({ rateLimits: [...BASE.rateLimits, rule] });
  assert.equal(ask().verdict, PAUSE);
  const request = calls[0]?.request;
  assert.equal(request?.cluster, "limits");
  assert.equal(request.timeoutMs, 20);
  const message = fromBinary(RateLimitRequestSchema, request.message);
  assert.equal(message.domain, "shop");
  assert.deepEqual(
    message.descriptors.map(({ entries, hitsAddend }) => [
      entries.map(({ key, value }) => `${key}=${value}`),
      hitsAddend,
    ]),
    [
      [["user=ann", "remote_address=127.0.0.1"], undefined],
      [["generic_key=all"], 300n],
    ],
  );
});

test("nothing is asked of a request without a descriptor, or that goes nowhere", () => {
  const { calls, ask } = makeAsker();
  assert.equal(ask({ headers: [] }).verdict, CONTINUE);
  const direct = { name: "d", action: { kind: "direct" } } as unknown as Route; // as: what the filter reads of it
  assert.equal(ask({ route: direct }).verdict, CONTINUE);
  assert.equal(calls.length, 0);
});

test("what is allowed goes on with the service's headers, and its answer says what is left", () => {
  const { calls, ask, filter } = makeAsker({ enableXRatelimitHeaders: "DRAFT_VERSION_03" });
  const { exchange } = ask();
  const status = (name: string, limitRemaining: number, unit: number) => ({
    code: 1,
    currentLimit: { name, requestsPerUnit: 10, unit },
    limitRemaining,
    durationUntilReset: "7.5s",
  });
  calls[0]?.answer(
    encode({
      overallCode: 1,
      statuses: [status("a", 9, 1), status("", 4, 2), { code: 1 }],
      requestHeadersToAdd: [{ key: "X-Tier", value: "gold" }],
      responseHeadersToAdd: [
        { key: "X-Said", value: "yes" },
        { key: ":status", value: "500" },
        { key: "content-length", value: "0" },
        { key: "x-split", value: "a\r\nb: c" },
      ],
    }),
  );
  assert.equal(exchange.resumes, 1);
  assert.equal(exchange.request.get("x-tier"), "gold");
  const head = HeaderBlock.of([":status", "200"]);
  filter.onResponseHead?.(exchange, head, true);
  assert.equal(head.get("x-ratelimit-limit"), '10, 10;w=1;name="a", 10;w=60');
  assert.equal(head.get("x-ratelimit-remaining"), "4");
  assert.equal(head.get("ratelimit"), '"default";r=4;t=7');
  assert.equal(head.get("x-said"), "yes");
  assert.deepEqual([head.get(":status"), head.has("content-length"), head.has("x-split")], ["200", false, false]);
});

test("what is over the limit is answered so, with the status, the code and the headers of the filter", () => {
  const { calls, ask, bench } = makeAsker({
    rateLimitedAsResourceExhausted: true,
    rateLimitedStatus: { code: "ServiceUnavailable" },
    disableXEnvoyRatelimitedHeader: true,
    responseHeadersToAdd: [{ header: { key: "x-why", value: "limit" } }],
  });
  const { exchange } = ask();
  calls[0]?.answer(
    encode({
      overallCode: 2,
      statuses: [{ code: 2, currentLimit: { requestsPerUnit: 1, unit: 3 }, durationUntilReset: "61s" }],
    }),
  );
  assert.equal(exchange.reply?.status, 503);
  assert.equal(exchange.reply.grpcStatus, 8);
  assert.deepEqual(exchange.reply.headers, [
    ["retry-after", "61"],
    ["x-why", "limit"],
  ]);
  assert.equal(exchange.resumes, 0);
  assert.equal(bench.counters.get("heddle_rate_limit_service_total"), 1);
});

test("a failed call lets the request go on, or refuses it where the filter says so", () => {
  const open = makeAsker();
  const first = open.ask().exchange;
  open.calls[0]?.answer("connect-failure");
  assert.deepEqual([first.resumes, first.reply], [1, undefined]);
  const closed = makeAsker({ failureModeDeny: true, statusOnError: { code: "ServiceUnavailable" } });
  const second = closed.ask().exchange;
  closed.calls[0]?.answer(Buffer.from([0xff]));
  assert.deepEqual([second.reply?.status, second.reply?.flag], [503, "RLSE"]);
  const plain = makeAsker({ failureModeDeny: true });
  const third = plain.ask().exchange;
  plain.calls[0]?.answer("connect-failure");
  assert.equal(third.reply?.status, 500);
});

test("a service that fails twenty times is left alone for a second, then one call tries", () => {
  const { bench, calls, ask } = makeAsker({ failureModeDeny: true });
  for (let i = 0; i < 20; i++) {
    assert.equal(ask().verdict, PAUSE);
    calls.at(-1)?.answer("connect-failure");
  }
  for (let i = 0; i < 5; i++) assert.equal(ask().verdict, ANSWERED);
  assert.equal(calls.length, 20);
  bench.clock.advance(1000);
  assert.deepEqual([ask().verdict, ask().verdict], [PAUSE, ANSWERED]);
  calls.at(-1)?.answer(encode({ overallCode: 1 }));
  assert.deepEqual([ask().verdict, ask().verdict], [PAUSE, PAUSE]);
});

test("calls that wait are bounded, and a request that ends gives its call up", () => {
  const { calls, ask, filter } = makeAsker();
  const asked = Array.from({ length: 1024 }, () => ask());
  assert.equal(ask().verdict, CONTINUE);
  const [first] = asked;
  if (first !== undefined) filter.onDone?.(first.exchange);
  assert.equal(calls[0]?.isGivenUp, true);
  assert.equal(ask().verdict, PAUSE);
});

test("a route has descriptors and a domain of its own", () => {
  const own = parseRateLimitSettings(
    { domain: "other", rateLimits: [{ actions: [{ genericKey: { descriptorValue: "route" } }] }] },
    RATE_LIMIT_PER_ROUTE,
  );
  const { calls, ask } = makeAsker();
  ask({ override: { isDisabled: false, config: own } });
  const message = fromBinary(RateLimitRequestSchema, calls[0]?.request.message ?? new Uint8Array());
  assert.deepEqual([message.domain, message.descriptors[0]?.entries[0]?.value], ["other", "route"]);
  assert.equal(ask({ override: { isDisabled: true, config: undefined } }).verdict, CONTINUE);
});

test("a route of ours says how clients are told, in the place of the filter", () => {
  const manners = { rateLimitedAsResourceExhausted: true, enableXRatelimitHeaders: "DRAFT_VERSION_03" };
  const over = encode({ overallCode: 2, statuses: [{ code: 2, currentLimit: { requestsPerUnit: 10, unit: 1 } }] });
  const told = (manner: { [name: string]: JsonValue }): readonly unknown[] => {
    const { calls, ask } = makeAsker(manners);
    const { rateLimits } = BASE;
    const config = parseRateLimitSettings({ rateLimits, ...manner }, HEDDLE_GLOBAL_RATE_LIMIT_PER_ROUTE);
    const { exchange } = ask({ override: { isDisabled: false, config } });
    calls[0]?.answer(over);
    const names = (exchange.reply?.headers ?? []).map(([name]) => name);
    return [exchange.reply?.grpcStatus, names.includes("x-ratelimit-limit")];
  };
  assert.deepEqual(told({}), [8, true]);
  assert.deepEqual(told({ enableXRatelimitHeaders: "OFF" }), [undefined, false]);
});

test("what has no meaning here is refused by its path", () => {
  const cases: readonly (readonly [{ [name: string]: JsonValue }, RegExp])[] = [
    [{ rateLimitService: { transportApiVersion: "V2" } }, /rateLimitService\.transportApiVersion must be/],
    [{ rateLimitService: { ...SERVICE, grpcService: { googleGrpc: {} } } }, /envoyGrpc\.clusterName must be the name/],
    [
      { rateLimitService: { ...SERVICE, grpcService: { ...SERVICE.grpcService, retryPolicy: {} } } },
      /retryPolicy must be left out/,
    ],
    [{ requestType: "some" }, /requestType must be internal or external/],
    [
      { rateLimits: [{ actions: [{ genericKey: {} }], applyOnStreamDone: true }] },
      /applyOnStreamDone must be left out/,
    ],
  ];
  for (const [fields, message] of cases)
    assert.throws(() => parseRateLimitSettings({ ...BASE, ...fields }, RATE_LIMIT), message);
});

test("an answer that is cut off is an error, not an endless loop", () => {
  const whole = encode({ overallCode: 1, statuses: [{ code: 1, currentLimit: { requestsPerUnit: 3, unit: 1 } }] });
  assert.equal(decodeAnswer(whole).statuses[0]?.limit?.requestsPerUnit, 3);
  assert.throws(() => decodeAnswer(whole.subarray(0, -1)), /cut off/);
});
