// The fallback filter in whole exchanges: what goes to the client in place of a failure.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";
import { FilterBench } from "#filters/testing/harness.ts";
import { fallbackFilter } from "#filters/fallback/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { makeRoute } from "#proxy/route/testing/tables.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

function filter(config: JsonValue): FilterConfig {
  return {
    name: "heddle.fallback",
    typeUrl: "type.googleapis.com/heddle.filters.fallback.v1.Fallback",
    config,
    disabled: false,
    isOptional: true,
  };
}

const STATIC = {
  conditions: ["noHealthyEndpoint", "timeout", "connectFailure", "reset", "overloaded"],
  statuses: [503],
  static: { status: 200, contentType: "application/json", body: "[]", headers: [{ name: "x-degraded", value: "1" }] },
};

function call(options: BenchOptions, method = "GET", config: JsonValue = STATIC): ExchangeBench {
  const bench = new ExchangeBench({ filters: [filter(config)], ...options });
  bench.request(method, "/a", true);
  return bench;
}

describe("a fixed fallback", () => {
  const answer = ["head 200", "data [] end"];

  it("is what a client gets when there is no endpoint, no connection, no time or no room", () => {
    const cases: readonly (() => ExchangeBench)[] = [
      () => call({ pickFailure: "no-healthy-endpoint" }),
      () => call({ onOpen: (attempt) => attempt.fail("connect-failure") }),
      () => call({ isFull: true }),
      () => {
        const bench = call({ action: { timeoutMs: 100 } });
        bench.clock.advance(200);
        return bench;
      },
    ];
    for (const make of cases) {
      const bench = make();
      assert.deepEqual(bench.downstream.sent, answer);
      assert.equal(bench.downstream.head?.get("content-type"), "application/json");
      assert.equal(bench.downstream.head?.get("content-length"), "2");
      assert.equal(bench.downstream.head?.get("x-degraded"), "1");
      assert.match(bench.downstream.head?.get("proxy-status") ?? "", /error=/, "the cause is still told");
      assert.match(String(bench.exchange.notes.get("fallback")), /^static for /);
      assert.equal(bench.done.length, 1);
      assert.equal(bench.admitted, 0);
    }
  });

  it("takes the place of the service's own answer of a status that is named, and of its body", () => {
    const bench = call({});
    bench.attempt.answer(503, "the service's page");
    assert.deepEqual(bench.downstream.sent, answer);
    assert.equal(bench.attempt.dones, 1);
    const other = call({});
    other.attempt.answer(500, "no");
    assert.deepEqual(other.downstream.sent, ["head 500", "data no end"]);
  });

  it("has no body for HEAD, and is a code for gRPC", () => {
    assert.deepEqual(call({ pickFailure: "cluster-empty" }, "HEAD").downstream.sent, ["head 200 end"]);
    const grpc = new ExchangeBench({ filters: [filter({ ...STATIC, static: { grpcStatus: 5 } })], isFull: true });
    grpc.request("POST", "/a", true, ["content-type", "application/grpc"]);
    assert.deepEqual(grpc.downstream.sent, ["head 200 end"]);
    assert.equal(grpc.downstream.head?.get("grpc-status"), "5");
  });

  it("is no answer to CONNECT: what is no refusal would open a tunnel of its bytes", () => {
    const action = { upgrades: [{ name: "heddle-tcp", enabled: true }] };
    const peer = { peerIdentity: "spiffe://mesh/ns/a/sa/b", connection: { protocol: "http2" } } as const;
    const bench = new ExchangeBench({ ...peer, filters: [filter(STATIC)], action, isFull: true });
    bench.request("CONNECT", "/", false, [":protocol", "heddle-tcp"]);
    assert.equal(bench.downstream.sent[0], "head 503");
  });

  it("leaves alone what no condition names, and every answer that is good", () => {
    const bench = call({ isFull: true }, "GET", { ...STATIC, conditions: ["timeout"] });
    assert.equal(bench.downstream.sent[0], "head 503");
    const good = call({});
    good.attempt.answer(200, "good");
    assert.deepEqual(good.downstream.sent, ["head 200", "data good end"]);
  });
});

describe("a cached fallback", () => {
  const CACHED = { ...STATIC, static: undefined, cached: { maxAgeMs: 60_000, keyHeaders: ["x-user"] } };

  type Header = readonly [name: string, value: string];
  type Head = Record<string, string>;

  /** A filter that has seen this answer to this request, and then the failure of that one; what it gave in its place. */
  function after(first: Head, answer: Head, second: Head, waitMs = 1000): HeaderBlock | undefined {
    const bench = new FilterBench();
    const { static: _static, ...config } = CACHED;
    const filterOf = bench.make(fallbackFilter, config);
    const exchangeOf = (headers: Head) => {
      const { tenant, peerIdentity, backend, cluster, colour, route, ...fields } = headers;
      const exchange = bench.exchange({
        headers: Object.entries(fields),
        ...(peerIdentity === undefined ? {} : { peerIdentity }),
        ...(backend === undefined ? {} : { backend }),
        ...(cluster === undefined ? {} : { cluster: { name: cluster } }),
        ...(route === undefined ? {} : { route: makeRoute(route) }),
      });
      if (tenant !== undefined) exchange.note("tenant", tenant);
      if (colour !== undefined) exchange.note("colour_version", colour);
      filterOf.onRouted?.(exchange, exchange.request);
      return exchange;
    };
    const good = exchangeOf(first);
    const head = HeaderBlock.of([":status", "200"], ["content-type", "text/plain"]);
    for (const [name, value] of Object.entries(answer)) head.set(name, value);
    filterOf.onResponseHead?.(good, head, false);
    filterOf.onResponseData?.(good, Buffer.from("he"), 0, 2, false);
    filterOf.onResponseData?.(good, Buffer.from("llo"), 0, 3, true);
    bench.clock.advance(waitMs);
    const bad = exchangeOf(second);
    filterOf.onResponseHead?.(bad, HeaderBlock.of([":status", "503"] satisfies Header), false);
    if (bad.substituted !== undefined) assert.equal(bad.substituted.body.toString(), "hello");
    return bad.substituted?.head;
  }

  it("is the last good answer to the same request, with its age and a warning", () => {
    const head = after({}, {}, {}, 5500);
    assert.deepEqual(
      [":status", "content-type", "content-length", "age", "warning"].map((name) => head?.get(name)),
      ["200", "text/plain", "5", "5", '111 - "Revalidation Failed"'],
    );
  });

  it("is nobody else's: other paths, hosts, tenants and named headers have their own", () => {
    for (const other of [{ ":path": "/b" }, { ":authority": "other" }, { tenant: "acme" }, { "x-user": "eve" }])
      assert.equal(after({}, {}, other as Head), undefined, JSON.stringify(other));
    assert.ok(after({ tenant: "acme" }, {}, { tenant: "acme" }));
  });

  it("is only for the caller that it was for, of the backend and the colour that it came from", () => {
    for (const [key, one, other] of [
      ["peerIdentity", "spiffe://mesh/ns/a/sa/ann", "spiffe://mesh/ns/a/sa/eve"],
      ["backend", "v1", "v2"],
      ["cluster", "v1", "v2"],
      ["route", "with-header", "without"],
      ["colour", "canary", "base"],
    ] as const) {
      assert.ok(after({ [key]: one }, {}, { [key]: one }), key);
      assert.equal(after({ [key]: one }, {}, { [key]: other }), undefined, key);
      assert.equal(after({ [key]: one }, {}, {}), undefined, key);
    }
  });

  it("has nothing of what was told of one client's limits", () => {
    const told = { "x-ratelimit-remaining": "7", ratelimit: '"a";r=7;t=1', "x-envoy-upstream-service-time": "3" };
    const head = after({}, told, {});
    for (const name of Object.keys(told)) assert.equal(head?.has(name), false, name);
  });

  it("is never given to, nor kept of, who shows credentials or changes something", () => {
    for (const one of [
      { authorization: "Bearer x" },
      { cookie: "session=1" },
      { ":method": "POST" },
      { range: "bytes=0-1" },
    ])
      assert.equal(after(one as Head, {}, one as Head), undefined, JSON.stringify(one));
    assert.equal(after({}, {}, { authorization: "Bearer x" }), undefined);
  });

  it("is nothing private, nothing with cookies, nothing that varies by what is no part of the key", () => {
    for (const one of [
      { "cache-control": "private, max-age=5" },
      { "cache-control": "no-store" },
      { "set-cookie": "a=1" },
      { vary: "*" },
      { vary: "Accept, X-Other" },
      { ":status": "201" },
    ])
      assert.equal(after({}, one as Head, {}), undefined, JSON.stringify(one));
    assert.ok(after({}, { vary: "Accept, X-User", "cache-control": "public, max-age=1" }, {}));
  });

  it("is not older than it may be", () => {
    assert.equal(after({}, {}, {}, 61_000), undefined);
  });
});
