// The attempts of an exchange: what each is sent with, and what ends it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench } from "./testing/bench.ts";

const RETRY_FILTER = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: {},
  disabled: false,
  isOptional: true,
};

describe("an attempt", () => {
  it("is counted against the limits of the route's priority", () => {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {}, action: { priority: "high" } });
    bench.request("GET", "/a", true);
    bench.attempt.answer(503, "no");
    assert.deepEqual(bench.priorities, ["high", "high"]);
  });

  it("begins with the request as it came in, though the one before was rewritten, without a policy too", () => {
    const bench = new ExchangeBench({
      filters: [RETRY_FILTER],
      action: { prefixRewrite: "/base/" },
      onOpen(attempt) {
        attempt.ready();
        if (bench.attempts.length === 1)
          attempt.handler?.onReset({
            origin: "peer",
            scope: "stream",
            code: 7,
            message: "refused",
            isUnprocessed: true,
            status: 0,
          });
      },
    });
    bench.request("GET", "/a", true);
    bench.clock.advance(300);
    assert.deepEqual(
      bench.attempts.map(({ stream }) => stream.head?.get(":path")),
      ["/base/a", "/base/a"],
    );
  });

  it("takes what is left of the caller's deadline with it", () => {
    const bench = new ExchangeBench({
      filters: [RETRY_FILTER],
      retry: { retryOn: ["unavailable"] },
      action: { timeoutMs: 15_000, maxGrpcTimeoutMs: 1000 },
    });
    bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"], ["grpc-timeout", "5S"]);
    assert.equal(bench.attempt.stream.head?.get("grpc-timeout"), "1000000u");
    bench.clock.advance(400);
    bench.attempt.answer(200, undefined, ["grpc-status", "14"]);
    bench.clock.advance(300);
    const left = Number(bench.attempt.stream.head?.get("grpc-timeout")?.slice(0, -1)) / 1000;
    assert.equal(bench.attempts.length, 2);
    assert.ok(left <= 600 && left >= 300, `${left} ms`);
  });

  it("has the route's maximum when a call names no deadline", () => {
    const bench = new ExchangeBench({ action: { timeoutMs: 0, maxGrpcTimeoutMs: 50 } });
    bench.request("POST", "/svc/Method", true, ["content-type", "application/grpc"]);
    assert.equal(bench.attempt.stream.head?.get("grpc-timeout"), "50000u");
    bench.clock.advance(80);
    assert.equal(bench.downstream.head?.get("grpc-status"), "4");
  });

  it("that is silent for too long is repeated before its head, and broken off after it", () => {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: { perTryIdleTimeoutMs: 100 } });
    bench.request("GET", "/a", true);
    while (bench.attempts.length < 2) bench.clock.advance(10);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    for (let i = 0; i < 5; i++) {
      bench.clock.advance(60);
      bench.attempt.handler?.onData(Buffer.from("x"), 0, 1, false);
    }
    assert.equal(bench.done.length, 0);
    bench.clock.advance(200);
    assert.deepEqual(bench.done[0]?.flags, ["UT"]);
    assert.equal(bench.downstream.sent.at(-1), "reset 2");
  });

  it("is repeated for a header that the policy names", () => {
    const match = { kind: "present", present: true } as const;
    const retriableHeaders = [{ name: "x-again", match, invert: false, missingAsEmpty: false }];
    const bench = new ExchangeBench({
      filters: [RETRY_FILTER],
      retry: { retryOn: ["retriable-headers"], retriableHeaders },
    });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "no", ["x-again", "1"]);
    bench.clock.advance(300);
    bench.attempt.answer(200, "yes");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
  });

  it("is sent the endpoint's own host name where the route asks for it, each attempt its own", () => {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {}, action: { autoHostRewrite: true } });
    bench.request("GET", "/a", true);
    bench.attempt.answer(503, "no");
    bench.clock.advance(300);
    assert.deepEqual(
      bench.attempts.map(({ stream }) => stream.head?.get(":authority")),
      ["host-80.example", "host-81.example"],
    );
    assert.equal(bench.attempt.stream.head?.get("x-forwarded-host"), "svc");
  });

  it("gives a client without the hash cookie one, the same for all its attempts", () => {
    const hashPolicy = [{ kind: "cookie", name: "at", path: "/", ttlMs: 60_000, terminal: false }] as const;
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: {}, action: { hashPolicy } });
    bench.request("GET", "/a", true);
    bench.attempt.answer(503, "no");
    bench.clock.advance(300);
    bench.attempt.answer(200, "yes");
    const cookie = bench.downstream.head?.getJoined("set-cookie") ?? "";
    assert.match(cookie, /^at="[0-9a-f]{16}"; Max-Age=60; Path=\/; HttpOnly$/);
    const again = new ExchangeBench({ action: { hashPolicy } });
    again.request("GET", "/a", true, ["cookie", cookie.split(";")[0] ?? ""]);
    again.attempt.answer(200, "yes");
    assert.equal(again.downstream.head?.has("set-cookie"), false);
  });

  it("is not sent when a filter that fails closed throws at its start", () => {
    const bench = new ExchangeBench({
      extraFilters: [
        {
          name: "broken",
          onAttemptStart() {
            throw new Error("boom");
          },
        },
      ],
    });
    bench.request("GET", "/a", true);
    assert.equal(bench.downstream.sent[0], "head 500");
    assert.deepEqual(bench.attempt.stream.sent, ["reset 8"]);
  });
});

describe("a connection that ends before any answer", () => {
  const CLOSED = makeStreamError("peer", "connection", H2_ERROR.CANCEL, "The server closed the connection");
  const UNSENT = { ...CLOSED, isUnprocessed: true };

  function lose(method: string, error: StreamError, isReused: boolean, end = true): ExchangeBench {
    const bench = new ExchangeBench({ action: { prefixRewrite: "/base/" }, onOpen: (one) => one.ready(isReused) });
    bench.request(method, "/a", end);
    if (!end) bench.data("hello", true);
    bench.attempt.handler?.onReset(error);
    return bench;
  }

  it("gives an idempotent request to a new one, as it was, when it had been used before", () => {
    for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]) {
      const bench = lose(method, CLOSED, true);
      assert.deepEqual(bench.attempt.stream.sent, ["head /base/a end", "head /base/a end"], method);
      assert.equal(bench.attempt.waiter?.care, "fresh");
      assert.deepEqual(bench.attempt.reports, [], "the endpoint did nothing wrong");
      bench.attempt.answer(200, "ok");
      assert.deepEqual(bench.downstream.sent, ["head 200", "data ok end"]);
      assert.equal(bench.exchange.notes.get("resent"), CLOSED.message);
      assert.equal(bench.done.length, 1);
    }
  });

  it("gives it the body again too", () => {
    const bench = lose("PUT", CLOSED, true, false);
    assert.deepEqual(bench.attempt.stream.sent, ["head /base/a", "data hello end", "head /base/a", "data hello end"]);
  });

  it("fails a POST that may have been executed, and any request on a connection that was new", () => {
    assert.deepEqual(lose("POST", CLOSED, true).downstream.sent[0], "head 503");
    assert.deepEqual(lose("GET", CLOSED, false).downstream.sent[0], "head 503");
  });

  it("sends a POST again of which nothing had left, body and all", () => {
    const bench = lose("POST", UNSENT, true, false);
    assert.deepEqual(bench.attempt.stream.sent, ["head /base/a", "data hello end", "head /base/a", "data hello end"]);
    bench.attempt.answer(200, "ok");
    assert.equal(bench.downstream.sent[0], "head 200");
  });

  it("sends nothing a third time", () => {
    const bench = lose("GET", CLOSED, true);
    bench.attempt.handler?.onReset(CLOSED);
    assert.equal(bench.downstream.sent[0], "head 503");
    assert.deepEqual(bench.attempt.reports.length, 1);
  });

  it("leaves to the retry policy what the server said of one stream, and what is our own doing", () => {
    const refused = makeStreamError("peer", "stream", H2_ERROR.REFUSED_STREAM, "refused", true);
    assert.equal(lose("GET", refused, true).downstream.sent[0], "head 503");
    const ours = makeStreamError("us", "connection", H2_ERROR.PROTOCOL_ERROR, "bad frame");
    assert.equal(lose("GET", ours, true).downstream.sent[0], "head 502");
  });

  it("does not send again what an interim answer was given to", () => {
    const bench = new ExchangeBench({ onOpen: (one) => one.ready(true) });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onInformational(HeaderBlock.of([":status", "103"]));
    bench.attempt.handler?.onReset(CLOSED);
    assert.deepEqual(bench.downstream.sent.slice(0, 2), ["informational 103", "head 503"]);
  });

  it("with a retry policy sends again what the filters changed, from the request as it came, and counts no retry", () => {
    const bench = new ExchangeBench({
      filters: [RETRY_FILTER],
      retry: { numRetries: 1 },
      action: { prefixRewrite: "/base/" },
      onOpen: (one) => one.ready(true),
    });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onReset(CLOSED);
    assert.deepEqual(bench.attempt.stream.sent, ["head /base/a end", "head /base/a end"]);
    bench.attempt.answer(503, "no");
    bench.clock.advance(300);
    bench.attempt.answer(200, "yes");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data yes end"]);
    assert.equal(bench.exchange.attempts.length, 2);
  });
});

describe("an answer that asks to come again later", () => {
  const rateLimitedBackoff = { resetHeaders: [{ name: "retry-after", format: "seconds" as const }], maxMs: 60_000 };

  function ask(timeoutMs: number, seconds: number): ExchangeBench {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], retry: { rateLimitedBackoff }, action: { timeoutMs } });
    bench.request("GET", "/a", true);
    bench.attempt.answer(503, "later", ["retry-after", String(seconds)]);
    return bench;
  }

  it("is asked again then, and not before", () => {
    const bench = ask(0, 10);
    bench.clock.advance(9900);
    assert.equal(bench.attempts.length, 1);
    bench.clock.advance(5200);
    assert.equal(bench.attempts.length, 2);
  });

  it("goes to the client at once when the request has less time left than that", () => {
    const bench = ask(5000, 10);
    assert.deepEqual(bench.downstream.sent, ["head 503", "data later end"]);
    assert.match(String(bench.exchange.notes.get("retry_after_late")), /less time left/);
  });
});

describe("the longest life of a stream", () => {
  it("ends a request without an answer with 504, one that is incomplete with 408, and flag DT", () => {
    for (const [end, status] of [
      [true, "head 504"],
      [false, "head 408"],
    ] as const) {
      const bench = new ExchangeBench({ http: { maxStreamMs: 2000 } });
      bench.request("POST", "/a", end);
      bench.clock.advance(2100);
      assert.equal(bench.downstream.sent[0], status);
      assert.deepEqual(bench.exchange.flags, ["DT"]);
    }
  });

  it("ends an answer that is still coming, however busy it is", () => {
    const bench = new ExchangeBench({ action: { maxStreamMs: 2000 } });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    for (let i = 0; i < 11; i++) {
      bench.clock.advance(200);
      bench.attempt.handler?.onData(Buffer.from("x"), 0, 1, false);
    }
    assert.equal(bench.downstream.sent.at(-1), `reset ${H2_ERROR.INTERNAL_ERROR}`);
    assert.equal(bench.attempt.stream.sent.at(-1), `reset ${H2_ERROR.CANCEL}`);
  });

  it("is the route's own where it has one, none included", () => {
    const bench = new ExchangeBench({ http: { maxStreamMs: 2000 }, action: { maxStreamMs: 0 } });
    bench.request("GET", "/a", true);
    bench.clock.advance(5000);
    assert.deepEqual(bench.downstream.sent, []);
  });
});
