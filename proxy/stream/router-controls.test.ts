// The router's `x-envoy-*` fields: whom they are believed from, what they ask for, and what the router itself says.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const RETRY_FILTER = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: { safeOnly: false },
  disabled: false,
  isOptional: true,
};
const LOOPBACK = [{ address: "127.0.0.0", prefixLength: 8 }];

type Header = readonly [name: string, value: string];

function call(options: BenchOptions, ...headers: readonly Header[]): ExchangeBench {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], ...options });
  bench.request("GET", "/a", true, ...headers);
  return bench;
}

/** A request of somebody internal. */
function callInside(options: BenchOptions, ...headers: readonly Header[]): ExchangeBench {
  const http = { internalAddresses: LOOPBACK, useRemoteAddress: true, ...options.http };
  return call({ ...options, http }, ...headers);
}

function upstream(bench: ExchangeBench, name: string): string | undefined {
  return bench.attempt.stream.head?.get(name);
}

describe("a listener that knows nobody who is internal", () => {
  it("removes what only internal requests may say, and does none of it", () => {
    const bench = call({}, ["x-envoy-retry-on", "5xx"], ["x-envoy-internal", "true"], ["x-envoy-foo", "1"]);
    assert.equal(upstream(bench, "x-envoy-retry-on"), undefined);
    assert.equal(upstream(bench, "x-envoy-internal"), undefined);
    assert.equal(upstream(bench, "x-envoy-foo"), "1");
    bench.attempt.answer(503, "no");
    assert.equal(bench.downstream.sent[0], "head 503");
  });

  it("removes at an edge what proxies say to each other too", () => {
    const field: Header = ["x-envoy-original-path", "/forged"];
    assert.equal(upstream(call({ http: { useRemoteAddress: true } }, field), field[0]), undefined);
    assert.equal(upstream(call({}, field), field[0]), "/forged");
  });
});

describe("an internal request", () => {
  it("is one with a single address that is internal in x-forwarded-for, as it goes on", () => {
    assert.equal(upstream(callInside({}), "x-envoy-internal"), "true");
    assert.equal(upstream(callInside({}, ["x-forwarded-for", "127.0.0.1"]), "x-envoy-internal"), undefined);
    const http = { useRemoteAddress: false };
    assert.equal(upstream(callInside({ http }), "x-envoy-internal"), undefined);
    assert.equal(upstream(callInside({ http }, ["x-forwarded-for", "127.0.0.9"]), "x-envoy-internal"), "true");
    assert.equal(upstream(callInside({ http }, ["x-forwarded-for", "10.0.0.9"]), "x-envoy-internal"), undefined);
  });

  it("asks for retries, and how many, where the route has none", () => {
    const bench = callInside({}, ["x-envoy-retry-on", "gateway-error"], ["x-envoy-max-retries", "2"]);
    assert.equal(upstream(bench, "x-envoy-retry-on"), undefined, "it ends at the router");
    for (let i = 0; i < 3; i++) {
      bench.attempt.answer(502, "no");
      bench.clock.advance(300);
    }
    assert.equal(bench.attempts.length, 3);
    assert.equal(bench.downstream.sent[0], "head 502");
  });

  it("adds its conditions, statuses and headers to the route's", () => {
    const retry = { retryOn: ["retriable-status-codes"], retriableStatusCodes: [418], numRetries: 3 };
    const bench = callInside(
      { retry },
      ["x-envoy-retry-on", "retriable-headers"],
      ["x-envoy-retriable-status-codes", "404, x"],
      ["x-envoy-retriable-header-names", "X-Again"],
    );
    for (const answer of [() => bench.attempt.answer(418), () => bench.attempt.answer(404)]) {
      answer();
      bench.clock.advance(300);
    }
    bench.attempt.answer(200, undefined, ["x-again", "please"]);
    bench.clock.advance(300);
    assert.equal(bench.attempts.length, 4);
    bench.attempt.answer(500, "no");
    assert.equal(bench.downstream.sent[0], "head 500");
  });

  it("has timeouts of its own, and 204 for them if it likes", () => {
    const bench = callInside({ action: { timeoutMs: 60_000 } }, ["x-envoy-upstream-rq-timeout-ms", "100"]);
    bench.clock.advance(150);
    assert.equal(bench.downstream.sent[0], "head 504");
    const other = callInside(
      {},
      ["x-envoy-upstream-rq-timeout-ms", "100"],
      ["x-envoy-upstream-rq-timeout-alt-response", "1"],
    );
    other.clock.advance(150);
    assert.deepEqual(other.downstream.sent, ["head 204 end"]);
  });

  it("has a timeout of its own for each attempt", () => {
    const bench = callInside({}, ["x-envoy-retry-on", "5xx"], ["x-envoy-upstream-rq-per-try-timeout-ms", "100"]);
    bench.clock.advance(150);
    bench.clock.advance(300);
    assert.equal(bench.attempts.length, 2);
  });
});

describe("what the router says itself", () => {
  const http = { suppressEnvoyHeaders: false };

  it("is how long the attempt may take, and how long the service took", () => {
    const bench = call({ http, retry: { numRetries: 1 }, action: { timeoutMs: 2000 } });
    assert.equal(upstream(bench, "x-envoy-expected-rq-timeout-ms"), "2000");
    bench.clock.advance(40);
    bench.attempt.answer(503, "no");
    bench.clock.advance(30);
    assert.ok(Number(upstream(bench, "x-envoy-expected-rq-timeout-ms")) < 2000);
    bench.attempt.answer(200, "yes", ["x-envoy-upstream-service-time", "7"]);
    assert.equal(bench.downstream.head?.get("x-envoy-upstream-service-time"), "70");
  });

  it("is nothing where it is suppressed", () => {
    const bench = call({ action: { timeoutMs: 2000, prefixRewrite: "/b" } });
    bench.attempt.answer(200, "yes");
    for (const name of ["x-envoy-expected-rq-timeout-ms", "x-envoy-original-path", "x-envoy-attempt-count"])
      assert.equal(upstream(bench, name), undefined, name);
    assert.equal(bench.downstream.head?.get("x-envoy-upstream-service-time"), undefined);
  });

  it("counts attempts, and tells a retry after a timeout, where the host says so", () => {
    const bench = call({
      retry: { numRetries: 2, perTryTimeoutMs: 100 },
      host: { attemptMarks: ["request", "response", "timeoutRetry"] },
    });
    const seen = (): readonly (string | undefined)[] =>
      ["x-envoy-attempt-count", "x-envoy-is-timeout-retry"].map((name) => upstream(bench, name));
    assert.deepEqual(seen(), ["1", undefined]);
    bench.clock.advance(150);
    bench.clock.advance(40);
    assert.deepEqual(seen(), ["2", "true"]);
    bench.attempt.answer(503, "no");
    bench.clock.advance(90);
    assert.deepEqual(seen(), ["3", "false"]);
    bench.attempt.answer(200, "yes");
    assert.equal(bench.downstream.head?.get("x-envoy-attempt-count"), "3");
  });
});
