import assert from "node:assert/strict";
import { test } from "node:test";

import { SharedCells } from "#proxy/resilience/shared-cells.ts";

import { ANSWERED, CONTINUE, PAUSE } from "../filter.ts";
import { FilterBench, type HarnessOptions } from "../testing/harness.ts";
import { ENVOY_FAULT, HEDDLE_FAULTS, parseFaults } from "./config.ts";
import { faultFilter } from "./filter.ts";

const ALL = { numerator: 100 };
type Config = Parameters<typeof parseFaults>[0];

/** Envoy's message. */
function run(config: Config, options: HarnessOptions = {}, bench = new FilterBench(), typeUrl = ENVOY_FAULT) {
  const filter = faultFilter.make(parseFaults(config, typeUrl), bench.context(options, faultFilter.name));
  const exchange = bench.exchange(options);
  return { bench, filter, exchange, verdict: filter.onRouted?.(exchange, exchange.request) };
}

function faults(config: Config, options: HarnessOptions = {}) {
  return run({ faults: config, rule: "FaultPolicy shop/cart" }, options, new FilterBench(), HEDDLE_FAULTS);
}

test("an abort answers with its status, the flag FI and the rule", () => {
  const { verdict, exchange, bench } = faults([{ abort: { httpStatus: 503, percentage: ALL } }]);
  assert.equal(verdict, ANSWERED);
  assert.deepEqual(
    [exchange.reply?.status, exchange.reply?.flag, exchange.reply?.code, exchange.reply?.rule],
    [503, "FI", "fault_injected", "FaultPolicy shop/cart"],
  );
  assert.equal(bench.counters.get("heddle_faults_injected_total"), 1);
});

test("Envoy's message may tell the rule in its metadata", () => {
  const { exchange } = run({
    abort: { httpStatus: 503, percentage: ALL },
    filterMetadata: { rule: "FaultPolicy a/b" },
  });
  assert.match(exchange.reply?.detail ?? "", /^FaultPolicy a\/b answers with the status 503 on purpose$/);
});

test("a code of gRPC is told as it is", () => {
  const { exchange } = run({ abort: { grpcStatus: 8, percentage: ALL } });
  assert.deepEqual([exchange.reply?.status, exchange.reply?.grpcStatus], [200, 8]);
});

test("a delay pauses the request for as long, however long that is, and shows as DI", () => {
  const { verdict, exchange, bench } = run({ delay: { fixedDelay: "90s", percentage: ALL } });
  assert.equal(verdict, PAUSE);
  assert.deepEqual([exchange.flags, exchange.allowedPauseMs], [["DI"], 90_000]);
  bench.clock.advance(89_999);
  assert.equal(exchange.resumes, 0);
  bench.clock.advance(1);
  assert.equal(exchange.resumes, 1);
});

test("an abort comes behind the delay", () => {
  const both = { delay: { fixedDelay: "0.1s", percentage: ALL }, abort: { httpStatus: 500, percentage: ALL } };
  const { verdict, exchange, bench } = run(both);
  assert.equal(verdict, PAUSE);
  bench.clock.advance(100);
  assert.deepEqual([exchange.resumes, exchange.reply?.status, exchange.reply?.flag], [0, 500, "FI"]);
});

test("a client that goes away takes its delay with it", () => {
  const { filter, exchange, bench } = run({ delay: { fixedDelay: "1s", percentage: ALL } });
  filter.onDone?.(exchange);
  assert.equal(bench.clock.pendingTimers, 0);
});

test("the share of requests is what was asked for, in parts of a million", () => {
  const bench = new FilterBench();
  const config = { abort: { httpStatus: 503, percentage: { numerator: 125_000, denominator: "MILLION" } } };
  const filter = bench.make(faultFilter, { faults: [config] });
  const total = 4000;
  let hit = 0;
  for (let i = 0; i < total; i++) {
    const exchange = bench.exchange();
    if (filter.onRouted?.(exchange, exchange.request) === ANSWERED) hit++;
  }
  const sigma = Math.sqrt(total * 0.125 * 0.875);
  assert.ok(Math.abs(hit - total * 0.125) < 4 * sigma, `${hit} of ${total}`);
});

test("without a percentage there is no fault, as in Envoy", () => {
  assert.equal(run({ abort: { httpStatus: 503 } }).verdict, CONTINUE);
});

test("a fault with a share of its own is drawn once for all its parts", () => {
  const bench = new FilterBench();
  const part = { delay: { fixedDelay: "1s", percentage: ALL }, abort: { httpStatus: 503, percentage: ALL } };
  const filter = bench.make(faultFilter, { faults: [{ percentage: { numerator: 50 }, ...part }] });
  for (let i = 0; i < 200; i++) {
    const exchange = bench.exchange();
    filter.onRouted?.(exchange, exchange.request);
    bench.clock.advance(1000);
    assert.equal(exchange.flags.length === 1, exchange.reply !== undefined);
  }
});

test("faults of a list add up: delays sum, the first abort decides, the lowest rate holds", () => {
  const { exchange, bench } = faults([
    { delay: { fixedDelay: "1s", percentage: ALL } },
    { delay: { fixedDelay: "2s", percentage: ALL }, abort: { httpStatus: 500, percentage: ALL } },
    { abort: { httpStatus: 501, percentage: ALL } },
    { responseRateLimit: { fixedLimit: { limitKbps: "8" }, percentage: ALL } },
    { responseRateLimit: { fixedLimit: { limitKbps: "4" }, percentage: ALL } },
  ]);
  assert.deepEqual([exchange.allowedPauseMs, exchange.bytesPerSecond], [3000, 4096]);
  bench.clock.advance(3000);
  assert.equal(exchange.reply?.status, 500);
});

test("only requests whose headers match are meant, and of matches one", () => {
  const abort = { httpStatus: 503, percentage: ALL };
  const headers = [
    { name: "X-Test", stringMatch: { exact: "yes" } },
    { name: ":method", stringMatch: { exact: "GET" } },
  ];
  assert.equal(run({ abort, headers }, { headers: [["x-test", "yes"]] }).verdict, ANSWERED);
  assert.equal(run({ abort, headers }, { headers: [["x-test", "no"]] }).verdict, CONTINUE);
  const matches = [{ headers: [{ name: "x-a" }] }, { headers: [{ name: "x-b" }] }];
  assert.equal(faults([{ abort, matches }], { headers: [["x-b", "1"]] }).verdict, ANSWERED);
  assert.equal(faults([{ abort, matches }], { headers: [["x-c", "1"]] }).verdict, CONTINUE);
});

test("an upstream cluster and downstream nodes narrow it further", () => {
  const abort = { httpStatus: 503, percentage: ALL };
  assert.equal(run({ abort, upstreamCluster: "backend" }, { cluster: {} }).verdict, ANSWERED);
  assert.equal(run({ abort, upstreamCluster: "other" }, { cluster: {} }).verdict, CONTINUE);
  const node = [["x-envoy-downstream-service-node", "a"]] as const;
  assert.equal(run({ abort, downstreamNodes: ["a"] }, { headers: node }).verdict, ANSWERED);
  assert.equal(run({ abort, downstreamNodes: ["a"] }).verdict, CONTINUE);
});

test("where the request says what happens to it, the configured share is the most that it can ask for", () => {
  const byHeader = { abort: { headerAbort: {}, percentage: ALL }, delay: { headerDelay: {}, percentage: ALL } };
  assert.equal(run(byHeader).verdict, CONTINUE);
  const asked = run(byHeader, { headers: [["x-envoy-fault-abort-request", "418"]] });
  assert.equal(asked.exchange.reply?.status, 418);
  const grpc = run(byHeader, { headers: [["x-envoy-fault-abort-grpc-request", "5"]] });
  assert.equal(grpc.exchange.reply?.grpcStatus, 5);
  const delayed = run(byHeader, { headers: [["x-envoy-fault-delay-request", "250"]] });
  assert.equal(delayed.exchange.allowedPauseMs, 250);
  for (const value of ["600", "199", "-1", "5x", ""])
    assert.equal(run(byHeader, { headers: [["x-envoy-fault-abort-request", value]] }).verdict, CONTINUE, value);
  const never = [
    ["x-envoy-fault-abort-request", "418"],
    ["x-envoy-fault-abort-request-percentage", "0"],
  ] as const;
  assert.equal(run(byHeader, { headers: never }).verdict, CONTINUE);
  const none = { abort: { headerAbort: {} } };
  const more = [
    ["x-envoy-fault-abort-request", "418"],
    ["x-envoy-fault-abort-request-percentage", "100"],
  ] as const;
  assert.equal(run(none, { headers: more }).verdict, CONTINUE);
  const rate = { responseRateLimit: { headerLimit: {}, percentage: ALL } };
  assert.equal(run(rate, { headers: [["x-envoy-fault-throughput-response", "2"]] }).exchange.bytesPerSecond, 2048);
  assert.equal(run(rate, { headers: [["x-envoy-fault-throughput-response", "0"]] }).verdict, CONTINUE);
});

test("above the number of active faults requests go on unharmed, until one of those is over", () => {
  const bench = new FilterBench();
  const config = { delay: { fixedDelay: "1s", percentage: ALL }, maxActiveFaults: 1 };
  const first = run(config, {}, bench);
  assert.equal(run(config, {}, bench).verdict, CONTINUE);
  assert.equal(bench.counters.get("heddle_faults_overflow_total"), 1);
  first.filter.onDone?.(first.exchange);
  assert.equal(run(config, {}, bench).verdict, PAUSE);
});

test("what a thread that died had active is given back when its successor comes", () => {
  const bench = new FilterBench();
  const buffer = SharedCells.makeBuffer(1024);
  const thread = () => {
    const cells = new SharedCells(buffer, 1);
    const config = parseFaults({ delay: { fixedDelay: "1s", percentage: ALL }, maxActiveFaults: 1 }, ENVOY_FAULT);
    const context = { ...bench.context(), cells: cells.cells.bind(cells), shares: cells.shares.bind(cells) };
    const filter = faultFilter.make(config, context);
    const exchange = bench.exchange();
    return filter.onRouted?.(exchange, exchange.request);
  };
  assert.deepEqual([thread(), thread()], [PAUSE, PAUSE]);
});

test("a route's settings hold over the chain's", () => {
  const abort = (httpStatus: number) => ({ abort: { httpStatus, percentage: ALL } });
  const config = parseFaults(abort(418), ENVOY_FAULT);
  assert.equal(run(abort(503), { override: { isDisabled: false, config } }).exchange.reply?.status, 418);
  assert.equal(run(abort(503), { override: { isDisabled: true, config: undefined } }).verdict, CONTINUE);
});

test("what has no meaning here is refused by name", () => {
  for (const [config, path] of [
    [{ delayPercentRuntime: "x" }, "delayPercentRuntime"],
    [{ filterMetadata: { rule: "x", more: 1 } }, "filterMetadata.more"],
    [{ abort: { httpStatus: 199 } }, "abort.httpStatus"],
    [{ abort: { httpStatus: 500, grpcStatus: 1 } }, "abort.httpStatus"],
    [{ delay: { fixedDelay: "0s" } }, "delay.fixedDelay"],
    [{ delay: {} }, "delay.fixedDelay"],
    [{ responseRateLimit: { fixedLimit: { limitKbps: "0" } } }, "responseRateLimit.fixedLimit.limitKbps"],
    [
      { headers: [{ name: "a", stringMatch: { safeRegex: { regex: "(" } } }] },
      "headers[0].stringMatch.safeRegex.regex",
    ],
    [{ unheard: 1 }, "unheard"],
  ] as const)
    assert.throws(() => parseFaults(config, ENVOY_FAULT), { path }, path);
});
