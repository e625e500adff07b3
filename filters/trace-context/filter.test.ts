import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { makeSeededRandom } from "#lib/random.ts";

import { FilterBench, type HarnessOptions, type TestExchange } from "../testing/harness.ts";
import { traceContextFilter } from "./filter.ts";
import { makeSpanId, makeTraceId, parseB3, parseTraceparent } from "./trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";

function run(options: HarnessOptions, config: object = {}): TestExchange {
  const bench = new FilterBench();
  const filter = bench.make(traceContextFilter, { samplingPercent: 0, ...config }, options);
  const exchange = bench.exchange(options);
  filter.onRequestHead?.(exchange, exchange.request, true);
  filter.onAttemptStart?.(
    exchange,
    exchange.attempt({ kind: "failure", reason: "reset", isUnprocessed: false, detail: "" }),
    exchange.request,
  );
  return exchange;
}

test("a request without trace context begins a new trace", () => {
  const { trace, request } = run({});
  assert.match(trace.traceId, /^[0-9a-f]{32}$/);
  assert.equal(trace.parentSpanId, "");
  assert.equal(request.get("traceparent"), `00-${trace.traceId}-${trace.spanId}-00`);
});

test("the caller's span becomes our parent, and our span the parent of what goes upstream", () => {
  const { trace, request } = run({
    headers: [
      ["traceparent", `00-${TRACE}-${SPAN}-01`],
      ["tracestate", "a=1"],
    ],
  });
  assert.equal(trace.parentSpanId, SPAN);
  assert.notEqual(trace.spanId, SPAN);
  assert.equal(request.get("traceparent"), `00-${TRACE}-${trace.spanId}-01`);
  assert.equal(request.get("tracestate"), "a=1");
});

test("an unsampled parent stays unsampled even where everything is sampled", () => {
  const { trace } = run({ headers: [["traceparent", `00-${TRACE}-${SPAN}-00`]] }, { samplingPercent: 100 });
  assert.equal(trace.isSampled, false);
});

test("an untrusted edge keeps the ids and decides anew", () => {
  const { trace } = run({ headers: [["traceparent", `00-${TRACE}-${SPAN}-01`]] }, { trustsParent: false });
  assert.equal(trace.traceId, TRACE);
  assert.equal(trace.isSampled, false);
});

test("an invalid traceparent starts a new trace and drops tracestate", () => {
  for (const bad of [
    "",
    "00-zz",
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-extra`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  ]) {
    const { trace, request } = run({
      headers: [
        ["traceparent", bad],
        ["tracestate", "a=1"],
      ],
    });
    assert.notEqual(trace.traceId, TRACE, bad);
    assert.equal(trace.parentSpanId, "", bad);
    assert.equal(request.has("tracestate"), false, bad);
  }
});

test("B3 in one header comes in and goes on in one header, beside traceparent", () => {
  const { trace, request } = run({ headers: [["b3", `${TRACE}-${SPAN}-1`]] });
  assert.equal(trace.traceId, TRACE);
  assert.equal(trace.isSampled, true);
  assert.equal(request.get("b3"), `${TRACE}-${trace.spanId}-1`);
  assert.equal(request.get("traceparent"), `00-${TRACE}-${trace.spanId}-01`);
});

test("B3 in several headers goes on in several", () => {
  const { trace, request } = run({
    headers: [
      ["x-b3-traceid", "a3ce929d0e0e4736"],
      ["x-b3-spanid", SPAN],
      ["x-b3-sampled", "0"],
    ],
  });
  assert.equal(trace.traceId, "0000000000000000a3ce929d0e0e4736");
  assert.equal(request.get("x-b3-spanid"), trace.spanId);
  assert.equal(request.get("x-b3-parentspanid"), SPAN);
  assert.equal(request.get("x-b3-sampled"), "0");
});

test("W3C wins over B3", () => {
  const { trace } = run({
    headers: [
      ["b3", `${"1".repeat(32)}-${SPAN}-1`],
      ["traceparent", `00-${TRACE}-${SPAN}-00`],
    ],
  });
  assert.equal(trace.traceId, TRACE);
  assert.equal(trace.isSampled, false);
});

test("arbitrary header values never throw, and ids are always well formed", () => {
  fc.assert(
    fc.property(fc.string(), fc.integer(), (text, seed) => {
      parseTraceparent(text);
      parseB3(text);
      const random = makeSeededRandom(seed);
      assert.match(makeTraceId(random), /^[0-9a-f]{32}$/);
      assert.match(makeSpanId(random), /^[0-9a-f]{16}$/);
    }),
  );
});

test("a setting that does not exist is refused by name", () => {
  assert.throws(
    () => traceContextFilter.parse({ samplngPercent: 1 }),
    /samplngPercent must be left out \(what can be set: samplingPercent, trustsParent/,
  );
  assert.throws(
    () => traceContextFilter.parse({ samplingPercent: 101 }),
    /samplingPercent must be a number from 0 to 100: got 101/,
  );
});

test("B3's bare decision is kept for the new trace, and no B3 field goes on beside it", () => {
  for (const headers of [[["b3", "0"]], [["x-b3-sampled", "0"]]] as const) {
    const { trace, request } = run({ headers }, { samplingPercent: 100 });
    assert.equal(trace.isSampled, false);
    assert.equal(request.get("traceparent"), `00-${trace.traceId}-${trace.spanId}-00`);
    assert.deepEqual([request.has("b3"), request.has("x-b3-sampled")], [false, false]);
  }
  assert.equal(run({ headers: [["b3", "0"]] }, { samplingPercent: 100, trustsParent: false }).trace.isSampled, true);
});

test("tracestate goes with traceparent alone, and into the span of a sampled request", () => {
  const state = ["tracestate", "vendor=1"] as const;
  const sampled = run({ headers: [["traceparent", `00-${TRACE}-${SPAN}-01`], state] });
  assert.equal(sampled.trace.traceState, "vendor=1");
  const unsampled = run({ headers: [["traceparent", `00-${TRACE}-${SPAN}-00`], state] });
  assert.equal(unsampled.request.get("tracestate"), "vendor=1");
  assert.equal(run({ headers: [["b3", `${TRACE}-${SPAN}-1`], state] }).request.has("tracestate"), false);
});
