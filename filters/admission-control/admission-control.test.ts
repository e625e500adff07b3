import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { HeaderBlock } from "#lib/http/header-block.ts";

import { ANSWERED, CONTINUE } from "../filter.ts";
import { FilterBench } from "../testing/harness.ts";
import { parseAdmissionControl } from "./config.ts";
import { admissionControlFilter, rejectionChance } from "./filter.ts";
import { SuccessWindow, successWindowCells } from "./success-window.ts";

function setUp(config: object = {}) {
  const bench = new FilterBench();
  const filter = bench.make(admissionControlFilter, { successCriteria: {}, ...config });
  const ask = (head?: HeaderBlock, trailers?: HeaderBlock) => {
    const exchange = bench.exchange();
    const verdict = filter.onRouted?.(exchange, exchange.request);
    if (verdict === CONTINUE && head !== undefined) filter.onResponseHead?.(exchange, head, trailers === undefined);
    if (verdict === CONTINUE && trailers !== undefined) filter.onResponseTrailers?.(exchange, trailers);
    return { verdict, exchange };
  };
  return { bench, filter, ask };
}

const status = (code: number): HeaderBlock => HeaderBlock.of([":status", String(code)]);

test("while enough requests succeed nothing is refused", () => {
  const { ask } = setUp();
  for (let i = 0; i < 200; i++) assert.equal(ask(status(i % 20 === 19 ? 503 : 200)).verdict, CONTINUE);
});

test("with every request failing at most maxRejectionProbability are refused", () => {
  const { ask, bench } = setUp();
  let refused = 0;
  for (let i = 0; i < 4000; i++) if (ask(status(503)).verdict === ANSWERED) refused++;
  // 80 %, and 4 sigma of 4,000 draws.
  assert.ok(Math.abs(refused / 4000 - 0.8) < 0.026, `${refused}`);
  assert.equal(bench.counters.get("heddle_admission_control_rejected_total"), refused);
  assert.equal(bench.counters.get("heddle_admission_control_failure_total"), 4000 - refused);
  const { exchange } = Array.from({ length: 50 }, () => ask()).find(({ verdict }) => verdict === ANSWERED) ?? ask();
  assert.equal(exchange.reply?.status, 503);
  assert.equal(exchange.reply?.code, "admission_denied");
});

test("failures leave the window, and all is let through again", () => {
  const { ask, bench } = setUp({ samplingWindow: "5s" });
  for (let i = 0; i < 100; i++) ask(status(503));
  bench.clock.advance(5000);
  for (let i = 0; i < 20; i++) assert.equal(ask(status(200)).verdict, CONTINUE);
});

test("another threshold is held against what was counted before", () => {
  const { ask, bench } = setUp();
  for (let i = 0; i < 500; i++) ask(status(503));
  const changed = bench.make(admissionControlFilter, {
    successCriteria: {},
    maxRejectionProbability: { defaultValue: { value: 99 } },
  });
  const refused = Array.from({ length: 100 }, () => {
    const exchange = bench.exchange();
    return changed.onRouted?.(exchange, exchange.request);
  }).filter((verdict) => verdict === ANSWERED);
  assert.ok(refused.length > 90, `${refused.length}`);
});

test("below the threshold of requests a second nothing is refused", () => {
  const { ask, bench } = setUp({ rpsThreshold: { defaultValue: 20, runtimeKey: "rps" } });
  for (let second = 0; second < 20; second++) {
    for (let i = 0; i < 9; i++) assert.equal(ask(status(503)).verdict, CONTINUE);
    bench.clock.advance(1000);
  }
});

test("gRPC is judged by its status, in head or trailers, and HTTP by its ranges", () => {
  const outcome = (config: object, head: HeaderBlock, trailers?: HeaderBlock): string => {
    const { ask, bench } = setUp(config);
    ask(head, trailers);
    return [...bench.counters.keys()].map((name) => name.replace(/.*control_(.*)_total/, "$1")).join();
  };
  const grpc = (...more: readonly (readonly [string, string])[]): HeaderBlock =>
    HeaderBlock.of([":status", "200"], ["content-type", "application/grpc"], ...more);
  const trailers = (code: string): HeaderBlock => HeaderBlock.of(["grpc-status", code]);
  assert.equal(outcome({}, grpc(), trailers("0")), "success");
  assert.equal(outcome({}, grpc(), trailers("14")), "failure");
  assert.equal(outcome({}, grpc(["grpc-status", "5"])), "success");
  assert.equal(outcome({}, grpc(["grpc-status", "8"])), "failure");
  assert.equal(outcome({}, status(404)), "success");
  assert.equal(outcome({}, status(500)), "failure");
  const only2xx = { successCriteria: { httpCriteria: { httpSuccessStatus: [{ start: 200, end: 300 }] } } };
  assert.equal(outcome(only2xx, status(404)), "failure");
});

test("the chance follows the documented formula and never leaves 0 to the maximum", () => {
  const config = { successThreshold: 0.95, aggression: 1, maxRejection: 0.8 };
  assert.equal(rejectionChance(0, 0, config), 0);
  assert.equal(rejectionChance(100, 95, config), 0);
  assert.ok(Math.abs(rejectionChance(100, 50, config) - (100 - 50 / 0.95) / 101) < 1e-12);
  assert.ok(rejectionChance(100, 90, { ...config, aggression: 2 }) > rejectionChance(100, 90, config));
  fc.assert(
    fc.property(
      fc.nat(1e6),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 1, max: 10, noNaN: true }),
      (n, share, aggression) => {
        const chance = rejectionChance(n, Math.floor(n * share), { ...config, aggression });
        return chance >= 0 && chance <= 0.8;
      },
    ),
  );
});

test("the window holds exactly what was counted in its seconds, whoever counted it", () => {
  const event = fc.record({ waitMs: fc.nat(2500), thread: fc.nat(1), isSuccess: fc.boolean() });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 6 }), fc.array(event, { maxLength: 60 }), (seconds, events) => {
      const cells = new Int32Array(successWindowCells(seconds));
      const threads = [new SuccessWindow(seconds, cells), new SuccessWindow(seconds, cells)];
      const all: { readonly second: number; readonly isSuccess: boolean }[] = [];
      let nowMs = 12_345_678;
      for (const { waitMs, thread, isSuccess } of events) {
        nowMs += waitMs;
        threads[thread]?.add(nowMs, isSuccess);
        all.push({ second: Math.floor(nowMs / 1000), isSuccess });
        const live = all.filter(({ second }) => Math.floor(nowMs / 1000) - second < seconds);
        const reader = threads[1 - thread];
        reader?.read(nowMs);
        assert.equal(reader?.requests, live.length);
        assert.equal(reader?.successes, live.filter((one) => one.isSuccess).length);
      }
    }),
  );
});

test("what Envoy refuses is refused by path", () => {
  assert.throws(() => parseAdmissionControl({}), /successCriteria must be set/);
  assert.throws(
    () => parseAdmissionControl({ successCriteria: {}, srThreshold: { defaultValue: { value: 0.5 } } }),
    /srThreshold.*at least 1/,
  );
  assert.throws(
    () => parseAdmissionControl({ successCriteria: { grpcCriteria: { grpcSuccessStatus: [17] } } }),
    /grpcSuccessStatus\[0\].*gRPC code/,
  );
  assert.throws(
    () =>
      parseAdmissionControl({ successCriteria: { httpCriteria: { httpSuccessStatus: [{ start: 300, end: 200 }] } } }),
    /httpSuccessStatus\[0\]\.end must be at least 300/,
  );
});
