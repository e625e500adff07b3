// A fault in a whole exchange: delays that hold the request, and bodies that leave at a rate.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { FilterConfig } from "#config/model/filter-config.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench, type WatchedStream } from "./testing/bench.ts";

const ALL = { numerator: 100 };

function fault(config: FilterConfig["config"]): FilterConfig {
  const typeUrl = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";
  return { name: "envoy.filters.http.fault", typeUrl, config, disabled: false, isOptional: false };
}

/** 1 KiB a second: 51 bytes in each slice of 50 ms. */
const SLOW = fault({ responseRateLimit: { fixedLimit: { limitKbps: "1" }, percentage: ALL } });

function sizeOf(stream: WatchedStream): number {
  return stream.sent
    .filter((line) => line.startsWith("data "))
    .reduce((sum, line) => sum + line.replace(/ end$/, "").length - 5, 0);
}

describe("a request that a fault delays", () => {
  it("goes on behind the delay, longer than filters may pause, with the body that came meanwhile", () => {
    const bench = new ExchangeBench({ filters: [fault({ delay: { fixedDelay: "30s", percentage: ALL } })] });
    bench.request("POST", "/a", false);
    bench.data("hello", true);
    bench.clock.advance(29_999);
    assert.equal(bench.attempts.length, 0);
    bench.clock.advance(1);
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data hello end"]);
    bench.attempt.answer(200, "ok");
    assert.deepEqual(bench.done[0]?.flags, ["DI"]);
  });

  it("is answered behind it where an abort follows, and no upstream hears of it", () => {
    const config = { delay: { fixedDelay: "1s", percentage: ALL }, abort: { httpStatus: 418, percentage: ALL } };
    const bench = new ExchangeBench({ filters: [fault(config)] });
    bench.request("GET", "/a", true);
    assert.deepEqual(bench.downstream.sent, []);
    bench.clock.advance(1000);
    assert.equal(bench.downstream.sent[0], "head 418");
    assert.deepEqual([bench.done[0]?.flags, bench.attempts.length, bench.admitted], [["DI", "FI"], 0, 0]);
    bench.clock.advance(60_000);
    assert.equal(bench.done.length, 1);
  });

  it("is over when its client goes away", () => {
    const bench = new ExchangeBench({ filters: [fault({ delay: { fixedDelay: "1s", percentage: ALL } })] });
    bench.request("GET", "/a", true);
    bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
    bench.clock.advance(5000);
    assert.deepEqual([bench.attempts.length, bench.done.length], [0, 1]);
  });
});

describe("a body that is held to a rate", () => {
  it("leaves in slices, and its sender gets credit when it has left", () => {
    const bench = new ExchangeBench({ filters: [SLOW] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "x".repeat(1024));
    assert.equal(sizeOf(bench.downstream), 51);
    assert.equal(bench.attempt.stream.credited, 0);
    bench.clock.advance(500);
    const half = sizeOf(bench.downstream);
    assert.ok(half >= 510 && half <= 563, String(half));
    bench.clock.advance(500);
    assert.equal(sizeOf(bench.downstream), 1024);
    assert.equal(bench.downstream.sent.at(-1)?.endsWith(" end"), true);
    assert.deepEqual([bench.attempt.stream.credited, bench.done[0]?.responseBytes], [1024, 1024]);
  });

  it("has its trailers behind it", () => {
    const bench = new ExchangeBench({ filters: [SLOW] });
    bench.request("GET", "/a", true);
    const { handler } = bench.attempt;
    handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    handler?.onData(Buffer.alloc(100, "x"), 0, 100, false);
    handler?.onTrailers(HeaderBlock.of(["grpc-status", "0"]));
    assert.equal(bench.downstream.sent.at(-1)?.startsWith("data"), true);
    bench.clock.advance(100);
    assert.equal(bench.downstream.sent.at(-1), "trailers 0");
    assert.equal(bench.done.length, 1);
  });

  it("is given no less when the upstream has said all of it: what times the upstream is over", () => {
    for (const trailers of [false, true]) {
      const retry = { perTryIdleTimeoutMs: 200 };
      const bench = new ExchangeBench({ filters: [SLOW], action: { timeoutMs: 500 }, retry });
      bench.request("GET", "/a", true);
      const { handler } = bench.attempt;
      handler?.onHead(HeaderBlock.of([":status", "200"]), false);
      handler?.onData(Buffer.alloc(1024, "x"), 0, 1024, !trailers);
      if (trailers) handler?.onTrailers(HeaderBlock.of(["grpc-status", "0"]));
      bench.clock.advance(150);
      for (let i = 0; i < 10; i++) bench.clock.advance(100);
      assert.equal(sizeOf(bench.downstream), 1024);
      assert.deepEqual([bench.done.length, bench.done[0]?.flags], [1, []]);
    }
    const silent = new ExchangeBench({ filters: [SLOW], action: { timeoutMs: 500 } });
    silent.request("GET", "/a", true);
    silent.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    silent.attempt.handler?.onData(Buffer.alloc(10, "x"), 0, 10, false);
    silent.clock.advance(600);
    assert.deepEqual(silent.done[0]?.flags, ["UT"]);
  });

  it("is dropped when the client goes away, and nothing is left behind", () => {
    const bench = new ExchangeBench({ filters: [SLOW] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "x".repeat(1024));
    bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
    const sent = bench.downstream.sent.length;
    bench.clock.advance(5000);
    assert.equal(bench.downstream.sent.length, sent);
    assert.equal(bench.done.length, 1);
  });
});
