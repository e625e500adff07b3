// A throw in a filter is contained, whichever hook it comes from: the client is told, or the filter is skipped, and what comes
// next is served.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import type { Filter } from "#filters/filter.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { ExchangeBench } from "./testing/bench.ts";

const fail = (): never => {
  throw new Error("boom");
};

/** All that are called while an exchange goes on. */
const HOOKS = [
  "onRequestHead",
  "onRouted",
  "onPick",
  "onAttemptStart",
  "onRequestData",
  "onRequestTrailers",
  "onAttemptEnd",
  "onResponseHead",
  "onResponseData",
  "onResponseTrailers",
  "onDone",
] as const satisfies readonly (keyof Filter)[];

/** Trailers come both ways, so that every hook is called. */
function play(bench: ExchangeBench): void {
  bench.request("POST", "/a", false);
  bench.data("question", false);
  bench.exchange.onTrailers(HeaderBlock.of(["q", "1"]));
  const [attempt] = bench.attempts;
  attempt?.handler?.onHead(HeaderBlock.of([":status", "200"]), false);
  attempt?.handler?.onData(Buffer.from("answer"), 0, 6, false);
  attempt?.handler?.onTrailers(HeaderBlock.of(["grpc-status", "0"]));
}

function benchWith(
  hook: (typeof HOOKS)[number],
  failureMode: "closed" | "open",
): { bench: ExchangeBench; heard: string[] } {
  const heard: string[] = [];
  const witness: Filter = { name: "witness", onDone: () => void heard.push("done") };
  const broken: Filter = { name: "broken", [hook]: () => (heard.push(hook), fail()) };
  return {
    bench: new ExchangeBench({ extraFilters: [witness, broken], failureModes: { broken: failureMode } }),
    heard,
  };
}

const UNTOUCHED = ["head 200", "data answer", "trailers 0"];
/** Where the client has its answer, or a part of it, when the filter throws. */
const TOO_LATE_FOR_500: Partial<Record<(typeof HOOKS)[number], readonly string[]>> = {
  onAttemptEnd: UNTOUCHED,
  onResponseData: ["head 200", "reset 2"],
  onResponseTrailers: ["head 200", "data answer", "reset 2"],
  onDone: UNTOUCHED,
};

describe("a filter that throws", () => {
  for (const hook of HOOKS) {
    it(`in ${hook} is skipped where it fails open`, () => {
      const { bench, heard } = benchWith(hook, "open");
      play(bench);
      assert.ok(heard.includes(hook), "it was not called");
      assert.deepEqual(bench.downstream.sent, UNTOUCHED);
      assert.deepEqual([heard.filter((name) => name === "done").length, bench.done.length, bench.admitted], [1, 1, 0]);
    });

    it(`in ${hook} is answered 500 with the cause where it fails closed, or breaks off what has begun`, () => {
      const { bench, heard } = benchWith(hook, "closed");
      play(bench);
      assert.ok(heard.includes(hook), "it was not called");
      const late = TOO_LATE_FOR_500[hook];
      if (late !== undefined) {
        assert.deepEqual(bench.downstream.sent, late);
        assert.equal(bench.done[0]?.status, 200);
        if (late === UNTOUCHED) assert.deepEqual(bench.done[0].flags, []);
      } else {
        assert.equal(bench.downstream.sent[0], "head 500");
        assert.match(bench.downstream.head?.get("proxy-status") ?? "", /the filter broken failed: boom/);
      }
      assert.deepEqual([heard.filter((name) => name === "done").length, bench.done.length, bench.admitted], [1, 1, 0]);
      assert.deepEqual(
        bench.attempts.map(({ dones }) => dones),
        bench.attempts.map(() => 1),
      );
    });
  }
});
