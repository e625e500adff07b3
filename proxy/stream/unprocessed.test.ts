// What never reached the application is said so between sidecars, and is sent to another instance.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const RETRY = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: {},
  disabled: false,
  isOptional: true,
};
const CALLEE: BenchOptions = { peerIdentity: "spiffe://mesh/ns/a/sa/b", connection: { protocol: "http2" } };
const CALLER: BenchOptions = { filters: [RETRY], isUpstreamMesh: true };
const UNPROCESSED = ["heddle-unprocessed", "1"] as const;

describe("the callee's sidecar", () => {
  it("says of a request that could not be sent to the application that it was not", () => {
    for (const headers of [[], [["content-type", "application/grpc"]]] as const) {
      const bench = new ExchangeBench({ ...CALLEE, onOpen: (attempt) => attempt.fail("connect-failure") });
      bench.request("POST", "/a", true, ...headers);
      assert.equal(bench.downstream.head?.get("heddle-unprocessed"), "1");
    }
  });

  it("says nothing of one that the application may have seen, in whichever attempt", () => {
    const lost = makeStreamError("peer", "stream", H2_ERROR.CANCEL, "reset");
    const once = new ExchangeBench(CALLEE);
    once.request("GET", "/a", true);
    once.attempt.handler?.onReset(lost);
    const twice = new ExchangeBench({ ...CALLEE, filters: [RETRY], retry: { retryOn: ["reset"], numRetries: 1 } });
    twice.request("GET", "/a", true);
    twice.attempt.handler?.onReset(lost);
    twice.clock.advance(300);
    twice.attempt.waiter?.onFailure("connect-failure", "refused");
    const resent = new ExchangeBench({
      ...CALLEE,
      onOpen(attempt) {
        if (attempt.waiter?.care === "fresh") attempt.fail("connect-failure");
        else attempt.ready(true);
      },
    });
    resent.request("GET", "/a", true);
    resent.attempt.handler?.onReset({ ...lost, scope: "connection" });
    assert.equal(resent.exchange.notes.get("resent"), "reset");
    for (const { downstream } of [once, twice, resent]) {
      assert.equal(downstream.sent[0], "head 503");
      assert.equal(downstream.head?.has("heddle-unprocessed"), false);
    }
  });

  it("lets no application say it", () => {
    const bench = new ExchangeBench(CALLEE);
    bench.request("POST", "/a", true);
    bench.attempt.answer(503, "no", UNPROCESSED);
    assert.equal(bench.downstream.head?.has("heddle-unprocessed"), false);
  });

  it("says it to peers of the mesh alone", () => {
    const bench = new ExchangeBench({ onOpen: (attempt) => attempt.fail("connect-failure") });
    bench.request("POST", "/a", true);
    assert.equal(bench.downstream.sent[0], "head 503");
    assert.equal(bench.downstream.head?.has("heddle-unprocessed"), false);
  });
});

describe("the caller's sidecar", () => {
  it("sends such a request to others, body and all, whatever its method and without a policy", () => {
    const bench = new ExchangeBench(CALLER);
    bench.request("POST", "/a", false);
    bench.data("hello", true);
    bench.attempt.answer(503, "gone", UNPROCESSED);
    bench.clock.advance(300);
    bench.attempt.answer(503, "gone", UNPROCESSED);
    bench.clock.advance(300);
    assert.equal(bench.attempts.length, 3);
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data hello end"]);
    bench.attempt.answer(200, "ok");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data ok end"]);
  });

  it("does so for gRPC, where the answer is a 200", () => {
    const bench = new ExchangeBench(CALLER);
    bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"]);
    bench.attempt.answer(200, undefined, ["grpc-status", "14"], UNPROCESSED);
    bench.clock.advance(300);
    assert.equal(bench.attempts.length, 2);
  });

  it("passes the answer on, as its peer explained it, where nobody else can", () => {
    const bench = new ExchangeBench({ ...CALLER, filters: [] });
    bench.request("POST", "/a", true);
    bench.attempt.answer(503, "gone", UNPROCESSED, ["proxy-status", "callee; error=connection_refused"]);
    assert.equal(bench.attempts.length, 1);
    assert.deepEqual(bench.downstream.sent, ["head 503", "data gone end"]);
    assert.equal(bench.downstream.head?.has("heddle-unprocessed"), false);
    assert.equal(bench.downstream.head?.get("proxy-status"), "callee; error=connection_refused");
  });

  it("believes no other server", () => {
    const bench = new ExchangeBench({ ...CALLER, isUpstreamMesh: false });
    bench.request("POST", "/a", true);
    bench.attempt.answer(503, "gone", UNPROCESSED);
    bench.clock.advance(300);
    assert.equal(bench.attempts.length, 1);
  });
});
