import assert from "node:assert/strict";
import { test } from "node:test";

import { CONTINUE, PAUSE, type Filter } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench } from "./testing/bench.ts";

const RETRY_FILTER = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: {},
  disabled: false,
  isOptional: true,
};

test("a request goes up and its answer comes down", () => {
  const bench = new ExchangeBench();
  bench.request("POST", "/a", false);
  bench.data("hello", true);
  assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data hello end"]);
  bench.attempt.answer(200, "world");
  assert.deepEqual(bench.downstream.sent, ["head 200", "data world end"]);
  assert.equal(bench.done.length, 1);
  assert.equal(bench.attempt.dones, 1);
  assert.equal(bench.admitted, 0);
  assert.equal(bench.downstream.credited, 5);
  assert.equal(bench.attempt.stream.credited, 5);
});

test("bytes that the upstream has no room for give the client no credit until it drains", () => {
  const bench = new ExchangeBench();
  bench.request("POST", "/a", false);
  bench.attempt.stream.isFull = true;
  bench.data("hello", false);
  bench.data("more", false);
  assert.equal(bench.downstream.credited, 0);
  bench.attempt.stream.isFull = false;
  bench.attempt.handler?.onDrain();
  assert.equal(bench.downstream.credited, 9);
});

test("bytes that the client has no room for give the upstream no credit until it drains", () => {
  const bench = new ExchangeBench();
  bench.request("GET", "/a", true);
  bench.downstream.isFull = true;
  bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
  bench.attempt.handler?.onData(Buffer.from("abc"), 0, 3, false);
  assert.equal(bench.attempt.stream.credited, 0);
  bench.exchange.onDrain();
  assert.equal(bench.attempt.stream.credited, 3);
});

test("no route is 404 with NR and says which table was asked", () => {
  const bench = new ExchangeBench({
    route: {
      match: {
        path: { kind: "path", value: "/only" },
        caseSensitive: true,
        headers: [],
        query: [],
        grpcOnly: false,
        runtimeFraction: undefined,
      },
    },
  });
  bench.request("GET", "/other", true);
  assert.equal(bench.downstream.sent[0], "head 404");
  assert.match(
    bench.downstream.head?.get("proxy-status") ?? "",
    /^heddle; error=destination_not_found; details="no route of table matches GET svc\/other"$/,
  );
  assert.deepEqual(bench.done[0]?.flags, ["NR"]);
});

test("a cluster that does not exist is 503 with NC", () => {
  const bench = new ExchangeBench({ action: { target: { kind: "cluster", name: "gone" } } });
  bench.request("GET", "/", true);
  assert.equal(bench.downstream.sent[0], "head 503");
  assert.deepEqual(bench.done[0]?.flags, ["NC"]);
});

test("no healthy endpoint is 503 with UH", () => {
  const bench = new ExchangeBench({ pickFailure: "no-healthy-endpoint" });
  bench.request("GET", "/", true);
  assert.equal(bench.downstream.sent[0], "head 503");
  assert.deepEqual(bench.done[0]?.flags, ["UH"]);
});

test("a full cluster is 503 with UO", () => {
  const bench = new ExchangeBench({ isFull: true });
  bench.request("GET", "/", true);
  assert.deepEqual(bench.done[0]?.flags, ["UO"]);
  assert.equal(bench.downstream.head?.get("x-envoy-overloaded"), "true");
});

test("a gRPC call is refused in trailers-only form with the mapped code", () => {
  const bench = new ExchangeBench({ pickFailure: "cluster-empty" });
  bench.request("POST", "/svc/Method", false, ["content-type", "application/grpc"]);
  assert.equal(bench.downstream.sent[0], "head 200 end");
  assert.equal(bench.downstream.head?.get("grpc-status"), "14");
});

test("a failed attempt is repeated with the whole body, and the client sees one answer", () => {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {} });
  bench.request("PUT", "/a", false);
  bench.data("one", false);
  bench.data("two", true);
  bench.attempt.answer(503, "no");
  assert.deepEqual(bench.downstream.sent, []);
  bench.clock.advance(300);
  assert.equal(bench.attempts.length, 2);
  assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data one", "data two end"]);
  bench.attempt.answer(200, "yes");
  assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
  assert.equal(bench.downstream.credited, 6);
  assert.equal(bench.done[0]?.attempts.length, 2);
  assert.deepEqual(
    bench.attempts.map((attempt) => attempt.dones),
    [1, 1],
  );
});

test("a body above the replay limit streams on, without retry", () => {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {} });
  bench.request("PUT", "/a", false);
  for (let i = 0; i < 5; i++) bench.data("x".repeat(20_000), i === 4);
  assert.equal(bench.attempt.stream.sent.length, 6);
  bench.attempt.answer(503, "no");
  assert.deepEqual(bench.downstream.sent, ["head 503", "data no end"]);
  assert.equal(bench.exchange.service.replay.usedBytes, 0);
});

test("when the retries are used up the last answer is passed on with URX", () => {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: { numRetries: 1 } });
  bench.request("GET", "/a", true);
  bench.attempt.answer(503, "first");
  bench.clock.advance(300);
  bench.attempt.answer(503, "second");
  assert.deepEqual(bench.downstream.sent, ["head 503", "data second end"]);
  assert.deepEqual(bench.done[0]?.flags, ["URX"]);
});

test("nothing is repeated once the answer's head went down", () => {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {} });
  bench.request("GET", "/a", true);
  bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
  bench.attempt.handler?.onReset(makeStreamError("peer", "stream", H2_ERROR.INTERNAL_ERROR, "broken"));
  assert.deepEqual(bench.downstream.sent, ["head 200", `reset ${H2_ERROR.INTERNAL_ERROR}`]);
  assert.deepEqual(bench.done[0]?.flags, ["UC"]);
  assert.equal(bench.attempts.length, 1);
});

test("an answer that is broken off is reset with the upstream's code where that is true for the client too", () => {
  const { NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM } = H2_ERROR;
  for (const [code, told] of [
    [CANCEL, CANCEL],
    [ENHANCE_YOUR_CALM, ENHANCE_YOUR_CALM],
    [NO_ERROR, INTERNAL_ERROR],
    [REFUSED_STREAM, INTERNAL_ERROR],
  ] as const) {
    const bench = new ExchangeBench();
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    bench.attempt.handler?.onReset(makeStreamError("peer", "stream", code, "broken"));
    assert.deepEqual(bench.downstream.sent, ["head 200", `reset ${told}`]);
  }
  const bench = new ExchangeBench();
  bench.request("GET", "/a", true);
  bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
  bench.attempt.handler?.onReset(makeStreamError("peer", "connection", CANCEL, "lost"));
  assert.deepEqual(bench.downstream.sent, ["head 200", `reset ${INTERNAL_ERROR}`]);
});

test("the route's timeout bounds all attempts and is 504 with UT", () => {
  const bench = new ExchangeBench({
    filters: [RETRY_FILTER],
    retry: { perTryTimeoutMs: 400 },
    action: { timeoutMs: 1000 },
  });
  bench.request("GET", "/a", true);
  bench.clock.advance(1100);
  assert.equal(bench.downstream.sent[0], "head 504");
  assert.match(bench.downstream.head?.get("proxy-status") ?? "", /timed out after 1000 ms/);
  assert.ok(bench.done[0]?.flags.includes("UT"));
  assert.ok(bench.attempts.length >= 2);
});

test("grpc-timeout is the route's timeout where the route honours it", () => {
  const bench = new ExchangeBench({ action: { timeoutMs: 0, maxGrpcTimeoutMs: 0 } });
  bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"], ["grpc-timeout", "50m"]);
  bench.clock.advance(80);
  assert.equal(bench.downstream.head?.get("grpc-status"), "4");
});

test("a client that goes away ends the attempt", () => {
  const bench = new ExchangeBench();
  bench.request("GET", "/a", true);
  bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
  assert.deepEqual(bench.attempt.stream.sent, ["head /a end", `reset ${H2_ERROR.CANCEL}`]);
  assert.deepEqual(bench.done[0]?.flags, ["DC"]);
});

test("a client that goes away while the connection is being opened cancels the wait", () => {
  const bench = new ExchangeBench({ onOpen: () => undefined });
  bench.request("GET", "/a", true);
  bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
  assert.equal(bench.attempt.isCancelled, true);
  assert.equal(bench.done.length, 1);
});

test("a filter may pause the request and go on later", () => {
  const filter: Filter = { name: "slow", onRequestHead: () => PAUSE };
  const bench = new ExchangeBench({ extraFilters: [filter] });
  bench.request("POST", "/a", false);
  bench.data("body", true);
  assert.equal(bench.attempts.length, 0);
  assert.equal(bench.exchange.resume(), true);
  assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data body end"]);
});

test("a filter that never goes on is answered 500", () => {
  const bench = new ExchangeBench({ extraFilters: [{ name: "stuck", onRouted: () => PAUSE }] });
  bench.request("GET", "/a", true);
  bench.clock.advance(10_001);
  assert.equal(bench.downstream.sent[0], "head 500");
  assert.equal(bench.exchange.resume(), false);
});

test("a filter may hold the answer's head, and the body waits behind it", () => {
  const bench = new ExchangeBench({ extraFilters: [{ name: "slow", onResponseHead: () => PAUSE }] });
  bench.request("GET", "/a", true);
  bench.attempt.answer(200, "body");
  assert.deepEqual(bench.downstream.sent, []);
  bench.exchange.resume();
  assert.deepEqual(bench.downstream.sent, ["head 200", "data body end"]);
});

test("a filter that throws is answered 500 with its name, unless it may be skipped", () => {
  const filter: Filter = {
    name: "broken",
    onRequestHead() {
      throw new Error("boom");
    },
  };
  const bench = new ExchangeBench({ extraFilters: [filter] });
  bench.request("GET", "/a", true);
  assert.equal(bench.downstream.sent[0], "head 500");
  assert.match(bench.downstream.head?.get("proxy-status") ?? "", /the filter broken failed: boom/);
});

test("onDone is called exactly once however the exchange ends", () => {
  let dones = 0;
  const filter: Filter = { name: "counter", onRequestHead: () => CONTINUE, onDone: () => void dones++ };
  const bench = new ExchangeBench({ extraFilters: [filter] });
  bench.request("GET", "/a", true);
  bench.attempt.answer(200, "x");
  bench.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "late"));
  assert.equal(dones, 1);
});

test("fields of the mesh are removed where the peer is not of the mesh", () => {
  const bench = new ExchangeBench();
  bench.request(
    "GET",
    "/a",
    true,
    ["heddle-orig-proto", "1.1"],
    ["heddle-x", "y"],
    ["x-forwarded-client-cert", "forged"],
  );
  assert.equal(bench.attempt.stream.head?.has("heddle-orig-proto"), false);
  assert.equal(bench.attempt.stream.head?.has("heddle-x"), false);
  assert.equal(bench.attempt.stream.head?.has("x-forwarded-client-cert"), false);
});

test("what a stranger answers in the name of the mesh is gone before its load is read, in trailers too", () => {
  for (const isUpstreamMesh of [false, true]) {
    const bench = new ExchangeBench({ isUpstreamMesh });
    bench.request("GET", "/a", true);
    const { handler, loads } = bench.attempt;
    handler?.onHead(HeaderBlock.of([":status", "200"], ["heddle-load-report", "TEXT eps=1"]), false);
    handler?.onTrailers(HeaderBlock.of(["a", "b"], ["heddle-load-report", "TEXT eps=1"]));
    const more = isUpstreamMesh ? " heddle-load-report" : "";
    assert.deepEqual(loads, [`:status${more}`, `a${more}`]);
  }
});

test("an early answer ends an upload that is still coming", () => {
  const bench = new ExchangeBench();
  bench.request("POST", "/a", false);
  bench.data("part", false);
  bench.attempt.answer(413, "too big");
  assert.deepEqual(bench.downstream.sent, ["head 413", "data too big end", `reset ${H2_ERROR.NO_ERROR}`]);
  assert.equal(bench.done.length, 1);
  bench.data("more", false);
  assert.equal(bench.downstream.credited, 8);
});

test("an upgrade becomes opaque bytes both ways, with half-close", () => {
  const bench = new ExchangeBench();
  bench.request("GET", "/ws", false, ["connection", "upgrade"], ["upgrade", "websocket"]);
  bench.attempt.handler?.onHead(HeaderBlock.of([":status", "101"], ["upgrade", "websocket"]), false);
  bench.attempt.handler?.onData(Buffer.from("hi"), 0, 2, true);
  assert.equal(bench.done.length, 0);
  bench.data("bye", true);
  assert.deepEqual(bench.attempt.stream.sent, ["head /ws", "data bye end"]);
  assert.equal(bench.done.length, 1);
});

test("an upgrade that the listener does not allow is refused", () => {
  const bench = new ExchangeBench({ http: { upgrades: [] } });
  bench.request("GET", "/ws", false, ["connection", "upgrade"], ["upgrade", "websocket"]);
  assert.equal(bench.downstream.sent[0], "head 403");
});
