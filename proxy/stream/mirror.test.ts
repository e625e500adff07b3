// Copies of requests: the original must never feel them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ANSWERED, PAUSE } from "#filters/filter.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const ALWAYS = { numerator: 100, denominator: 100 };
const MIRRORED: BenchOptions = { action: { mirrors: [{ cluster: "copy", fraction: ALWAYS }], timeoutMs: 1000 } };

describe("a mirrored request", () => {
  it("is copied with head and body, and its answer is drained and thrown away", () => {
    const bench = new ExchangeBench(MIRRORED);
    bench.request("POST", "/a", false);
    bench.data("one", false);
    bench.data("two", true);
    const [copy] = bench.copies;
    assert.deepEqual(copy?.stream.sent, ["head /a", "data one", "data two end"]);
    assert.equal(copy?.stream.head?.get(":authority"), "svc-shadow");
    assert.equal(bench.attempt.stream.head?.get(":authority"), "svc");
    copy?.answer(500, "ignored");
    assert.equal(copy?.stream.credited, 7);
    assert.deepEqual(bench.downstream.sent, []);
    bench.attempt.answer(200, "yes");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
    assert.deepEqual([copy?.dones, copy?.reports.length, bench.copying, bench.done.length], [1, 1, 0, 1]);
  });

  it("is sent from the first byte when its connection comes later", () => {
    const bench = new ExchangeBench({ ...MIRRORED, onCopyOpen: () => undefined });
    bench.request("POST", "/a", false);
    bench.data("one", false);
    bench.exchange.onTrailers(HeaderBlock.of(["grpc-status", "0"]));
    bench.copies[0]?.ready();
    assert.deepEqual(bench.copies[0]?.stream.sent, ["head /a", "data one", "trailers 0"]);
  });

  it("is given up, and the original is not, when its upstream takes too little", () => {
    const bench = new ExchangeBench({ ...MIRRORED, onCopyOpen: () => undefined });
    bench.request("POST", "/a", false);
    bench.data("x".repeat(2000), false);
    assert.deepEqual([bench.copies[0]?.isCancelled, bench.copying], [true, 0]);
    bench.data("end", true);
    bench.attempt.answer(200, "yes");
    assert.equal(bench.downstream.credited, 2003);
    assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
  });

  it("is over after the route's timeout", () => {
    const bench = new ExchangeBench(MIRRORED);
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "yes");
    assert.equal(bench.copying, 1);
    bench.clock.advance(1100);
    assert.deepEqual(bench.copies[0]?.stream.sent, ["head /a end", `reset ${H2_ERROR.CANCEL}`]);
    assert.equal(bench.copying, 0);
  });

  it("ends with a client that goes away in the middle of its request", () => {
    const bench = new ExchangeBench(MIRRORED);
    bench.request("POST", "/a", false);
    bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
    assert.deepEqual(bench.copies[0]?.stream.sent, ["head /a", `reset ${H2_ERROR.CANCEL}`]);
    assert.deepEqual([bench.copying, bench.copies[0]?.dones], [0, 1]);
  });

  it("fails alone", () => {
    const bench = new ExchangeBench({ ...MIRRORED, onCopyOpen: (copy) => copy.fail("connect-failure") });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "yes");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
    assert.deepEqual([bench.copying, bench.done[0]?.flags], [0, []]);
  });

  it("is not sent where a filter refuses it, and the client hears nothing of that", () => {
    for (const verdict of [ANSWERED, PAUSE, "throw"] as const) {
      const bench = new ExchangeBench({
        ...MIRRORED,
        extraFilters: [
          {
            name: "tenants",
            onPick(exchange, pick) {
              if (pick.isMirror !== true) return 0;
              exchange.answer({ status: 403, flag: "UAEX", code: "x", proxyStatus: "x", detail: "x" });
              if (verdict === "throw") throw new Error("boom");
              return verdict;
            },
          },
        ],
      });
      bench.request("GET", "/a", true);
      bench.attempt.answer(200, "yes");
      assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
      assert.equal(bench.copies.length, 0);
    }
  });

  it("is as frequent as its share says", () => {
    const never = new ExchangeBench({
      action: { mirrors: [{ cluster: "copy", fraction: { numerator: 0, denominator: 100 } }] },
    });
    never.request("GET", "/a", true);
    assert.equal(never.copies.length, 0);
  });
});
