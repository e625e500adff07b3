// Hedging: attempts beside each other, of which the first good answer is taken.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const RETRY_FILTER = {
  name: "heddle.retry",
  typeUrl: "type.googleapis.com/heddle.filters.retry.v1.Retry",
  config: {},
  disabled: false,
  isOptional: true,
};
const HEDGED = { metadata: { hedging: { delayMs: 100, maxAttempts: 2 } } };
const RESET = `reset ${H2_ERROR.CANCEL}`;

function hedged(
  method = "GET",
  options: BenchOptions = {},
  ...headers: readonly (readonly [string, string])[]
): ExchangeBench {
  const bench = new ExchangeBench({ filters: [RETRY_FILTER], route: HEDGED, ...options });
  bench.request(method, "/a", true, ...headers);
  return bench;
}

function attempt(bench: ExchangeBench, number: number): ExchangeBench["attempt"] {
  const found = bench.attempts[number - 1];
  assert.ok(found, `attempt ${number}`);
  return found;
}

describe("a request that is hedged", () => {
  it("is sent once when its answer comes within the delay", () => {
    const bench = hedged();
    bench.clock.advance(90);
    bench.attempt.answer(200, "ok");
    bench.clock.advance(1000);
    assert.equal(bench.attempts.length, 1);
    assert.equal(bench.exchange.notes.get("hedge"), undefined);
  });

  for (const [winner, loser] of [
    [1, 2],
    [2, 1],
  ] as const)
    it(`is answered by attempt ${winner} when that is first, and attempt ${loser} is reset`, () => {
      const bench = hedged();
      bench.clock.advance(120);
      assert.equal(bench.attempts.length, 2);
      attempt(bench, winner).answer(200, `of ${winner}`);
      attempt(bench, loser).answer(200, "too late");
      assert.deepEqual(bench.downstream.sent, ["head 200", `data of ${winner} end`]);
      assert.deepEqual(attempt(bench, loser).stream.sent, ["head /a end", RESET]);
      assert.deepEqual(
        [winner, loser].map((number) => attempt(bench, number).reports.map(({ kind }) => kind)),
        [["response"], ["cancelled"]],
      );
      assert.deepEqual([attempt(bench, 1).dones, attempt(bench, 2).dones], [1, 1]);
      assert.equal(bench.admitted, 0, "every place was given back");
      assert.equal(bench.done.length, 1);
      assert.equal(bench.exchange.notes.get("hedge"), `attempt ${winner} of 2 answered first`);
      assert.equal(bench.exchange.attempts.at(-1)?.number, winner, "sessions and logs name whoever answered");
    });

  it("waits for the other attempt when one answers badly or fails", () => {
    for (const fail of [
      (bench: ExchangeBench) => attempt(bench, 2).answer(503, "bad"),
      (bench: ExchangeBench) =>
        attempt(bench, 2).handler?.onReset(makeStreamError("peer", "stream", H2_ERROR.INTERNAL_ERROR, "broken")),
    ]) {
      const bench = hedged();
      bench.clock.advance(120);
      fail(bench);
      assert.deepEqual(bench.downstream.sent, []);
      attempt(bench, 1).answer(200, "good");
      assert.deepEqual(bench.downstream.sent, ["head 200", "data good end"]);
      assert.equal(bench.admitted, 0);
    }
  });

  it("gets the last bad answer when all are bad", () => {
    const bench = hedged();
    bench.clock.advance(120);
    attempt(bench, 1).answer(503, "first");
    attempt(bench, 2).answer(502, "second");
    assert.deepEqual(bench.downstream.sent, ["head 502", "data second end"]);
  });

  it("is retried by its policy only when all are bad", () => {
    const bench = hedged("GET", { retry: { numRetries: 3 } });
    bench.clock.advance(120);
    attempt(bench, 1).answer(503, "first");
    bench.clock.advance(90);
    assert.equal(bench.attempts.length, 2);
    attempt(bench, 2).answer(503, "second");
    bench.clock.advance(300);
    assert.ok(bench.attempts.length >= 3);
    bench.attempt.answer(200, "third");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data third end"]);
  });

  it("has its whole body in both attempts", () => {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], route: HEDGED });
    bench.request("PUT", "/a", false);
    bench.data("hello", true);
    bench.clock.advance(120);
    for (const number of [1, 2])
      assert.deepEqual(attempt(bench, number).stream.sent, ["head /a", "data hello end"], `attempt ${number}`);
    attempt(bench, 1).answer(200, "ok");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data ok end"]);
  });

  it("waits while its body is still coming", () => {
    const bench = new ExchangeBench({ filters: [RETRY_FILTER], route: HEDGED });
    bench.request("PUT", "/a", false);
    bench.clock.advance(500);
    assert.equal(bench.attempts.length, 1);
    bench.data("hello", true);
    bench.clock.advance(120);
    assert.equal(bench.attempts.length, 2);
  });

  it("runs once if it is no idempotent one, unless it has a key", () => {
    const post = hedged("POST");
    post.clock.advance(500);
    assert.equal(post.attempts.length, 1);
    const keyed = hedged("POST", {}, ["idempotency-key", "k"]);
    keyed.clock.advance(120);
    assert.equal(keyed.attempts.length, 2);
  });

  it("ends in all its attempts with the request's timeout, or when the client goes", () => {
    const late = hedged("GET", { action: { timeoutMs: 300 } });
    late.clock.advance(120);
    late.clock.advance(300);
    assert.equal(late.downstream.sent[0], "head 504");
    const gone = hedged();
    gone.clock.advance(120);
    gone.exchange.onReset(makeStreamError("peer", "stream", H2_ERROR.CANCEL, "gone"));
    for (const bench of [late, gone]) {
      for (const number of [1, 2]) assert.equal(attempt(bench, number).stream.sent.at(-1), RESET);
      assert.equal(bench.admitted, 0);
      assert.equal(bench.done.length, 1);
    }
  });
});

describe("an attempt that takes too long where the route hedges as Envoy", () => {
  const action = { hedgeOnPerTryTimeout: true, timeoutMs: 5000 };
  const retry = { numRetries: 1, perTryTimeoutMs: 100 };

  it("goes on beside the next one, whatever the method", () => {
    const bench = hedged("POST", { route: {}, action, retry });
    bench.clock.advance(120);
    bench.clock.advance(40);
    assert.equal(bench.attempts.length, 2);
    assert.deepEqual(attempt(bench, 1).stream.sent, ["head /a end"]);
    assert.deepEqual(attempt(bench, 1).reports[0]?.kind, "failure");
    attempt(bench, 1).answer(200, "slow");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data slow end"]);
    assert.equal(attempt(bench, 2).stream.sent.at(-1), RESET);
    assert.equal(attempt(bench, 1).reports.length, 1);
  });

  it("is waited for until the request's timeout when there is no retry left", () => {
    const bench = hedged("GET", { route: {}, action, retry });
    for (let i = 0; i < 10; i++) bench.clock.advance(120);
    assert.equal(bench.attempts.length, 2);
    assert.deepEqual(bench.downstream.sent, []);
    assert.deepEqual(bench.exchange.flags, ["URX"]);
    bench.clock.advance(5000);
    assert.equal(bench.downstream.sent[0], "head 504");
    assert.equal(bench.admitted, 0);
  });

  it("is no reason for another one after its answer has come", () => {
    const bench = hedged("GET", { route: {}, action, retry });
    bench.clock.advance(101);
    attempt(bench, 1).answer(200, "ok");
    bench.clock.advance(500);
    assert.equal(bench.attempts.length, 1);
    assert.equal(bench.done.length, 1);
  });
});
