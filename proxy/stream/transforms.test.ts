// Filters that change bodies: what goes on instead, who waits, who gets credit.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { CONTINUE, PAUSE, type BodyTransform, type Filter } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench } from "./testing/bench.ts";

/** Keeps everything until the end, then says it in upper case, with what the trailers said. */
function shout(mark = "!", holdsHead = true): BodyTransform {
  let text = "";
  return {
    holdsHead,
    onData(bytes, start, end, last) {
      text += bytes.toString("latin1", start, end).toUpperCase();
      return Buffer.from(last ? text + mark : "");
    },
    onTrailers(trailers) {
      const status = trailers.get("grpc-status") ?? "";
      trailers.clear();
      return Buffer.from(`${text}${mark}${status}`);
    },
  };
}

function change(which: "transformRequest" | "transformResponse", ...transforms: (() => BodyTransform)[]): Filter {
  const hook = which === "transformRequest" ? "onRequestHead" : "onResponseHead";
  return {
    name: "shout",
    [hook](exchange: Parameters<NonNullable<Filter["onRequestHead"]>>[0]) {
      for (const make of transforms) exchange[which](make());
      return CONTINUE;
    },
  };
}

const asRequest = (...transforms: (() => BodyTransform)[]): Filter => change("transformRequest", ...transforms);
const asResponse = (...transforms: (() => BodyTransform)[]): Filter => change("transformResponse", ...transforms);

describe("a request's body that a filter changes", () => {
  it("goes on as the filter made it, and the client gets credit for what it sent", () => {
    const bench = new ExchangeBench({ extraFilters: [asRequest(shout)] });
    bench.request("POST", "/a", false);
    bench.attempt.stream.isFull = true;
    bench.data("hel", false);
    // The filter has them: it bounds what it keeps, and could not go on without more.
    assert.equal(bench.downstream.credited, 3);
    bench.data("lo", true);
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data HELLO! end"]);
    assert.equal(bench.downstream.credited, 3);
    bench.attempt.handler?.onDrain();
    assert.equal(bench.downstream.credited, 5);
    assert.equal(bench.exchange.requestBytes, 5);
  });

  it("is made where there was none", () => {
    const bench = new ExchangeBench({ extraFilters: [asRequest(shout)] });
    bench.request("GET", "/a", true);
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data ! end"]);
    bench.attempt.answer(200, "ok");
    assert.equal(bench.done.length, 1);
  });

  it("ends in place of trailers that were taken out", () => {
    const bench = new ExchangeBench({ extraFilters: [asRequest(shout)] });
    bench.request("POST", "/a", false);
    bench.data("x", false);
    bench.exchange.onTrailers(HeaderBlock.of(["grpc-status", "7"]));
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data X!7 end"]);
  });

  it("passes several filters in their order, and what came during a pause passes all of them", () => {
    let pauses = 1;
    const pause: Filter = { name: "slow", onRequestHead: () => (pauses-- > 0 ? PAUSE : CONTINUE) };
    for (const filters of [
      [
        pause,
        asRequest(
          () => shout("1"),
          () => shout("2"),
        ),
      ],
      [asRequest(() => shout("1")), pause, asRequest(() => shout("2"))],
    ]) {
      pauses = 1;
      const bench = new ExchangeBench({ extraFilters: filters });
      bench.request("POST", "/a", false);
      bench.data("a", false);
      bench.data("b", true);
      bench.exchange.resume();
      assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data AB12 end"]);
      assert.equal(bench.downstream.credited, 2);
    }
  });

  it("is kept for another attempt as it was made", () => {
    const retry = { name: "heddle.retry", disabled: false, isOptional: true };
    const typeUrl = "type.googleapis.com/heddle.filters.retry.v1.Retry";
    const bench = new ExchangeBench({
      filters: [{ ...retry, typeUrl, config: {} }],
      extraFilters: [asRequest(shout)],
      retry: { retryOn: ["connect-failure"], numRetries: 1 },
      onOpen: (attempt) => (attempt.endpoint.port === 80 ? attempt.fail("connect-failure") : attempt.ready()),
    });
    bench.request("PUT", "/a", false);
    bench.data("x", true);
    bench.clock.advance(10_000);
    assert.deepEqual(bench.attempt.stream.sent, ["head /a", "data X! end"]);
  });

  it("that the filter throws at is answered 500, and its bytes are credited", () => {
    const broken = (): BodyTransform => ({
      ...shout(),
      onData() {
        throw new Error("boom");
      },
    });
    const bench = new ExchangeBench({ extraFilters: [asRequest(broken)] });
    bench.request("POST", "/a", false);
    bench.data("x", false);
    assert.equal(bench.downstream.sent[0], "head 500");
    assert.deepEqual([bench.downstream.credited, bench.done.length], [1, 1]);
  });
});

describe("an answer's body that a filter changes", () => {
  it("is sent behind the head that waited for it, and the upstream gets credit for what it sent", () => {
    const bench = new ExchangeBench({ extraFilters: [asResponse(shout)] });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    bench.attempt.handler?.onData(Buffer.from("ab"), 0, 2, false);
    assert.deepEqual(bench.downstream.sent, []);
    assert.equal(bench.attempt.stream.credited, 2);
    bench.attempt.handler?.onTrailers(HeaderBlock.of(["grpc-status", "0"]));
    assert.deepEqual(bench.downstream.sent, ["head 200", "data AB!0 end"]);
    assert.equal(bench.done.length, 1);
  });

  it("is made where there was none", () => {
    const bench = new ExchangeBench({ extraFilters: [asResponse(shout)] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(204);
    assert.deepEqual(bench.downstream.sent, ["head 204", "data ! end"]);
  });

  it("may be nothing at all", () => {
    const bench = new ExchangeBench({ extraFilters: [asResponse(() => shout(""))] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "");
    assert.deepEqual(bench.downstream.sent, ["head 200 end"]);
    assert.equal(bench.done.length, 1);
  });

  it("lets the head go first where the filter need not see the body", () => {
    const bench = new ExchangeBench({ extraFilters: [asResponse(() => shout("!", false))] });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    assert.deepEqual(bench.downstream.sent, ["head 200"]);
    bench.attempt.handler?.onData(Buffer.from("ab"), 0, 2, true);
    assert.deepEqual(bench.downstream.sent, ["head 200", "data AB! end"]);
  });

  it("gives the upstream no credit while the client has no room", () => {
    const bench = new ExchangeBench({
      extraFilters: [asResponse(() => ({ ...shout(), onData: () => Buffer.from("x") }))],
    });
    bench.request("GET", "/a", true);
    bench.downstream.isFull = true;
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    bench.attempt.handler?.onData(Buffer.from("abc"), 0, 3, false);
    assert.equal(bench.attempt.stream.credited, 0);
    bench.exchange.onDrain();
    assert.equal(bench.attempt.stream.credited, 3);
  });

  it("that broke off behind a held head is answered 503", () => {
    const bench = new ExchangeBench({ extraFilters: [asResponse(shout)] });
    bench.request("GET", "/a", true);
    bench.attempt.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
    bench.attempt.handler?.onReset(makeStreamError("peer", "stream", H2_ERROR.INTERNAL_ERROR, "gone"));
    assert.equal(bench.downstream.head?.get(":status"), "503");
    assert.equal(bench.done.length, 1);
  });

  it("that no filter can change is broken off, once", () => {
    const broken = (): BodyTransform => ({
      ...shout(),
      onData() {
        throw new Error("boom");
      },
    });
    const bench = new ExchangeBench({ extraFilters: [asResponse(broken)] });
    bench.request("GET", "/a", true);
    bench.attempt.answer(200, "body");
    assert.deepEqual(bench.downstream.sent, ["reset 2"]);
    assert.equal(bench.done.length, 1);
  });
});
