// Heads outlive the turn in which they were received: logs, records and retries read them when the receive buffer holds others.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { HeaderBlock } from "#lib/http/header-block.ts";

import { ExchangeBench, type BenchOptions } from "./testing/bench.ts";

/** A head whose last value lies in a receive buffer, and that buffer. */
function makeRaw(...pairs: readonly (readonly [name: string, value: string])[]): { head: HeaderBlock; buffer: Buffer } {
  const head = HeaderBlock.of(...pairs);
  const buffer = Buffer.from("??curl/8?");
  head.bytes = buffer;
  head.addRaw("x-raw", 2, 8, 0);
  return { head, buffer };
}

const PSEUDO = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "svc"],
  [":path", "/"],
] as const;

const cases: readonly (readonly [string, BenchOptions])[] = [
  ["without a retry policy", {}],
  ["with a retry policy", { retry: { numRetries: 2 } }],
];

for (const [name, options] of cases) {
  describe(`an exchange ${name}`, () => {
    it("still knows the request's fields when it is over", () => {
      const bench = new ExchangeBench(options);
      const { head, buffer } = makeRaw(...PSEUDO);
      bench.exchange.onHead(head, true);
      assert.equal(bench.attempt.stream.head?.get("x-raw"), "curl/8");
      buffer.fill("!");
      bench.attempt.answer(200, "body");
      assert.equal(bench.done[0]?.request.get("x-raw"), "curl/8");
    });

    it("still knows the answer's fields when its body ends later", () => {
      const bench = new ExchangeBench(options);
      bench.request("GET", "/", true);
      const { head, buffer } = makeRaw([":status", "200"]);
      bench.attempt.handler?.onHead(head, false);
      buffer.fill("!");
      bench.attempt.handler?.onData(Buffer.from("x"), 0, 1, true);
      assert.equal(bench.done[0]?.response?.get("x-raw"), "curl/8");
    });
  });
}
