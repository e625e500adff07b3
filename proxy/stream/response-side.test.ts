// The way back: filters that hold, replace or break an answer.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ANSWERED, CONTINUE, PAUSE, type Filter, type LocalReply } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { ExchangeBench } from "./testing/bench.ts";

const DENIED: LocalReply = {
  status: 403,
  flag: "UAEX",
  code: "denied",
  proxyStatus: "http_request_denied",
  detail: "no",
};

describe("an answer whose head is above what the client takes", () => {
  it("is 502 with its cause, and nothing of it is sent", () => {
    const bench = new ExchangeBench();
    const exceededLimit = (head: HeaderBlock): number | undefined => (head.has("x-large") ? 100 : undefined);
    Object.assign(bench.downstream, { exceededLimit });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "body", ["x-large", "1"]);
    assert.equal(bench.downstream.sent[0], "head 502");
    assert.match(bench.downstream.head?.get("proxy-status") ?? "", /error=http_response_header_section_size/);
    assert.ok(!bench.downstream.sent.join().includes("body"));
    assert.deepEqual([bench.exchange.status, bench.attempt.dones, bench.done.length], [502, 1, 1]);
  });

  it("is sent when it is our own: nothing smaller could take its place", () => {
    const bench = new ExchangeBench();
    Object.assign(bench.downstream, { exceededLimit: () => 1 });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "body");
    assert.equal(bench.downstream.sent[0], "head 502");
    assert.equal(bench.done.length, 1);
  });
});

describe("a filter at the answer's head", () => {
  it("may put another answer in its place", () => {
    const filter: Filter = {
      name: "guard",
      onResponseHead(exchange, head) {
        if (head.get(":status") !== "200") return CONTINUE;
        exchange.answer(DENIED);
        return ANSWERED;
      },
    };
    const bench = new ExchangeBench({ extraFilters: [filter] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "secret");
    assert.equal(bench.downstream.sent[0], "head 403");
    assert.ok(!bench.downstream.sent.join().includes("secret"));
    assert.deepEqual([bench.attempt.stream.sent.at(-1), bench.attempt.dones, bench.done.length], ["reset 8", 1, 1]);
  });

  it("that throws is answered 500, once", () => {
    const filter: Filter = {
      name: "broken",
      onResponseHead() {
        throw new Error("boom");
      },
    };
    const bench = new ExchangeBench({ extraFilters: [filter] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "body");
    assert.equal(bench.downstream.sent[0], "head 500");
    assert.match(bench.downstream.head?.get("proxy-status") ?? "", /the filter broken failed: boom/);
    assert.equal(bench.done.length, 1);
  });

  it("that never goes on is answered 500, and what waited is dropped", () => {
    let times = 0;
    const filter: Filter = { name: "stuck", onResponseHead: () => (times++ === 0 ? PAUSE : CONTINUE) };
    const bench = new ExchangeBench({ extraFilters: [filter] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "held");
    bench.clock.advance(10_001);
    assert.equal(bench.downstream.sent[0], "head 500");
    assert.ok(!bench.downstream.sent.join().includes("held"));
    assert.equal(bench.exchange.resume(), false);
  });

  it("may hold an answer of our own, whose body waits behind it", () => {
    const bench = new ExchangeBench({
      pickFailure: "cluster-empty",
      extraFilters: [{ name: "slow", onResponseHead: () => PAUSE }],
    });
    bench.request("GET", "/a", true);
    assert.deepEqual(bench.downstream.sent, []);
    bench.exchange.resume();
    assert.equal(bench.downstream.sent[0], "head 503");
    assert.match(bench.downstream.sent[1] ?? "", /^data \{"type".* end$/s);
    assert.equal(bench.done.length, 1);
  });

  it("hears the answer backwards, from the last filter to the first", () => {
    const heard: string[] = [];
    const make = (name: string): Filter => ({ name, onResponseHead: () => (heard.push(name), CONTINUE) });
    const bench = new ExchangeBench({ extraFilters: [make("first"), make("second")] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "x");
    assert.deepEqual(heard, ["second", "first"]);
  });
});

describe("a filter in the answer's body or trailers", () => {
  it("that throws breaks the answer off", () => {
    const fail = (): never => {
      throw new Error("boom");
    };
    for (const hook of ["onResponseData", "onResponseTrailers"] as const) {
      const bench = new ExchangeBench({ extraFilters: [{ name: "broken", [hook]: fail }] });
      bench.request("GET", "/a", true);
      bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
      bench.attempt.handler?.onData(Buffer.from("x"), 0, 1, false);
      bench.attempt.handler?.onTrailers(HeaderBlock.of(["a", "b"]));
      assert.equal(bench.downstream.sent.at(-1), "reset 2", hook);
      assert.deepEqual([bench.done.length, bench.done[0]?.flags], [1, ["LR"]]);
    }
  });
});

describe("trailers", () => {
  it("wait behind a paused head and keep their place behind the body", () => {
    const bench = new ExchangeBench({ extraFilters: [{ name: "slow", onResponseHead: () => PAUSE }] });
    bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"]);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    bench.attempt.handler?.onData(Buffer.from("message"), 0, 7, false);
    bench.attempt.handler?.onTrailers(HeaderBlock.of(["grpc-status", "5"]));
    assert.deepEqual(bench.downstream.sent, []);
    bench.exchange.resume();
    assert.deepEqual(bench.downstream.sent, ["head 200", "data message", "trailers 5"]);
    assert.deepEqual([bench.done[0]?.grpcStatus, bench.attempt.stream.credited], [5, 7]);
  });
});
