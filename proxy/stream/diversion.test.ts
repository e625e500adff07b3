// A request that another service answers in place of the failed one: its attempts, its body, its time, and who hears of what.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { FilterConfig, JsonValue } from "#config/model/filter-config.ts";
import { CONTINUE, type Filter } from "#filters/filter.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

const CONFIG = {
  rule: "FallbackPolicy shop/a",
  conditions: ["noHealthyEndpoint", "timeout", "connectFailure", "reset", "overloaded", "rateLimited"],
  statuses: [503],
  service: { cluster: "copy", subset: [{ key: "version", value: "2" }] },
};

function filters(config: JsonValue): FilterConfig[] {
  const ours = "type.googleapis.com/heddle.filters";
  const common = { disabled: false, isOptional: true };
  return [
    { name: "heddle.fallback", typeUrl: `${ours}.fallback.v1.Fallback`, config, ...common },
    { name: "heddle.retry", typeUrl: `${ours}.retry.v1.Retry`, config: {}, ...common },
  ];
}

function benchOf(options: BenchOptions = {}, config: JsonValue = CONFIG): ExchangeBench {
  return new ExchangeBench({ filters: filters(config), ...options });
}

/** A request without body, and its failure. */
function failed(options: BenchOptions = {}, config: JsonValue = CONFIG): ExchangeBench {
  const bench = benchOf(options, config);
  bench.request("GET", "/a", true);
  return bench;
}

/** Another service is asked only when all has returned that ran when the first one failed. */
function other(bench: ExchangeBench) {
  bench.clock.advance(1);
  const attempt = bench.copies.at(-1);
  assert.ok(attempt, "the other service was asked");
  return attempt;
}

describe("another service in place of a failed one", () => {
  it("answers for want of an endpoint, of a connection, of time, of room, and for a status that is named", () => {
    const cases: Record<string, () => ExchangeBench> = {
      endpoint: () => failed({ pickFailure: "no-healthy-endpoint" }),
      connection: () => {
        const bench = failed({ onOpen: (attempt) => attempt.fail("connect-failure") });
        bench.clock.advance(10_000); // Retries that no policy asks for.
        return bench;
      },
      room: () => failed({ isFull: true }),
      time: () => {
        const bench = failed({ action: { timeoutMs: 100 } });
        bench.clock.advance(110);
        return bench;
      },
      status: () => {
        const bench = failed();
        bench.attempt.answer(503, "the service's page");
        return bench;
      },
    };
    for (const [what, make] of Object.entries(cases)) {
      const bench = make();
      other(bench).answer(200, "instead");
      assert.deepEqual(bench.downstream.sent, ["head 200", "data instead end"], what);
      assert.match(String(bench.exchange.notes.get("fallback")), /^service copy for /, what);
      assert.equal(bench.exchange.cluster?.name, "copy", what);
      assert.equal(bench.exchange.localReply, undefined, what);
      assert.deepEqual([bench.admitted, bench.copying, bench.done.length], [0, 0, 1], what);
      for (const attempt of [...bench.attempts, ...bench.copies]) assert.equal(attempt.dones, 1, what);
    }
  });

  it("leaves an answer that is good, or that no condition names, where it is", () => {
    for (const status of [200, 404, 500]) {
      const bench = failed();
      bench.attempt.answer(status, "own");
      bench.clock.advance(10);
      assert.deepEqual(bench.downstream.sent, [`head ${status}`, "data own end"]);
      assert.deepEqual(bench.copies, []);
    }
  });

  it("gets the request as it came, whatever was changed on its way to the first one", () => {
    const mutations = { set: [{ name: "x-first", value: "1" }], add: [], addIfAbsent: [], remove: ["x-mine"] };
    const bench = benchOf({
      action: {
        target: {
          kind: "weighted",
          clusters: [
            {
              name: "backend",
              weight: 1,
              subset: { version: "1" },
              hostRewrite: "first.example",
              requestHeaders: mutations,
              responseHeaders: { ...mutations, set: [{ name: "x-back", value: "1" }] },
              filterOverrides: [],
            },
          ],
        },
      },
    });
    bench.request("GET", "/a", true, ["x-mine", "1"]);
    assert.equal(bench.attempt.stream.head?.get(":authority"), "first.example");
    bench.attempt.answer(503);
    const { head } = other(bench).stream;
    assert.deepEqual(
      [":authority", "x-mine", "x-first"].map((name) => head?.get(name)),
      ["svc", "1", undefined],
    );
    other(bench).answer(200);
    assert.equal(bench.downstream.head?.get("x-back"), undefined);
  });

  it("gets the whole body, also what comes later", () => {
    const bench = benchOf();
    bench.request("POST", "/a", false);
    bench.data("one ", false);
    bench.attempt.answer(503);
    const { stream } = other(bench);
    bench.data("two", true);
    assert.deepEqual(stream.sent, ["head /a", "data one ", "data two end"]);
    other(bench).answer(200, "ok");
    assert.deepEqual(bench.downstream.sent, ["head 200", "data ok end"]);
    assert.equal(bench.service.replay.usedBytes, 0);
    assert.equal(bench.downstream.credited, 7);
  });

  it("is not asked with a body that was too long to be kept: the failure is told", () => {
    const bench = benchOf();
    bench.request("POST", "/a", false);
    bench.data("x".repeat(65_537), false);
    bench.attempt.answer(503, "no");
    bench.clock.advance(10);
    assert.deepEqual(bench.downstream.sent.slice(0, 2), ["head 503", "data no end"]);
    assert.match(String(bench.exchange.notes.get("fallback_refused")), /copy/);
    assert.deepEqual([bench.copies.length, bench.copying], [0, 0]);
  });

  it("is asked with attempts of its own, after all of the first one's, and hears of them alone", () => {
    const bench = failed({ retry: { numRetries: 1, backoff: { baseMs: 1, maxMs: 1 } } });
    bench.attempt.answer(503);
    bench.clock.advance(5);
    assert.equal(bench.attempts.length, 2);
    bench.attempt.answer(503);
    const first = other(bench);
    first.answer(503);
    bench.clock.advance(5);
    assert.equal(bench.copies.length, 2, "the route's retries hold there too");
    other(bench).answer(200);
    assert.deepEqual(bench.downstream.sent, ["head 200 end"]);
    assert.deepEqual(
      [...bench.attempts, ...bench.copies].map(({ reports }) => reports.map((one) => "status" in one && one.status)),
      [[503], [503], [503], [200]],
    );
    assert.deepEqual([bench.admitted, bench.copying], [0, 0], "each cluster has its places back");
    assert.deepEqual(
      bench.exchange.attempts.map(({ number }) => number),
      [1, 2, 1, 2],
    );
  });

  it("has no fallback itself: what it answers is told, unless there is a fixed answer", () => {
    const bench = failed();
    bench.attempt.answer(503);
    other(bench).answer(503, "nor I");
    bench.clock.advance(10);
    assert.deepEqual(bench.downstream.sent, ["head 503", "data nor I end"]);
    assert.equal(bench.copies.length, 1);

    const fixed = failed({ onCopyOpen: (copy) => copy.fail("connect-failure") }, { ...CONFIG, static: { body: "[]" } });
    fixed.attempt.answer(503);
    fixed.clock.advance(10);
    assert.deepEqual(fixed.downstream.sent, ["head 200", "data [] end"]);
  });

  it("has the route's time anew, or its own", () => {
    for (const [timeoutMs, own] of [
      [100, undefined],
      [40, 40],
    ] as const) {
      const service = own === undefined ? CONFIG.service : { ...CONFIG.service, timeoutMs: own };
      const bench = failed({ action: { timeoutMs: 100 } }, { ...CONFIG, service });
      bench.clock.advance(90);
      bench.attempt.answer(503);
      other(bench);
      bench.clock.advance(timeoutMs - 10);
      assert.deepEqual(bench.downstream.sent, []);
      bench.clock.advance(20);
      assert.equal(bench.downstream.sent[0], "head 504");
      assert.equal(bench.copies[0]?.dones, 1);
    }
  });

  it("is not asked when the stream's whole life is over, nor for an upgrade, nor when nobody knows it", () => {
    const over = failed({ http: { maxStreamMs: 50 } });
    over.clock.advance(60);
    assert.equal(over.downstream.sent[0], "head 504");

    const upgrade = benchOf();
    upgrade.request("GET", "/a", true, ["upgrade", "websocket"], ["connection", "upgrade"]);
    upgrade.attempt.answer(503);

    const unknown = failed({}, { ...CONFIG, service: { cluster: "nobody" } });
    unknown.attempt.answer(503);

    for (const bench of [over, upgrade, unknown]) {
      bench.clock.advance(10);
      assert.equal(bench.copies.length, 0);
      assert.equal(bench.done.length, 1);
    }
  });

  it("has its answer seen by the fallback and those outside of it alone", () => {
    const seen: string[] = [];
    const inner: Filter = {
      name: "inner",
      onResponseHead: (_exchange, head) => {
        seen.push(String(head.get(":status")));
        head.set("x-inner", "1");
        return CONTINUE;
      },
    };
    const bench = failed({ extraFilters: [inner] });
    bench.attempt.answer(503);
    other(bench).answer(200);
    assert.deepEqual(seen, ["503"]);
    assert.equal(bench.downstream.head?.get("x-inner"), undefined);
  });

  it("stops with the client, wherever it is", () => {
    for (const waitMs of [0, 10]) {
      const bench = failed();
      bench.attempt.answer(503);
      if (waitMs > 0) bench.clock.advance(waitMs);
      bench.exchange.finish(undefined);
      bench.clock.advance(10);
      assert.deepEqual([bench.admitted, bench.copying], [0, 0]);
      assert.equal(bench.copies.length, waitMs === 0 ? 0 : 1);
    }
  });
});
