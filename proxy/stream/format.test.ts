// Log lines: whatever a client sends, a JSON format gives one JSON object a line.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import fc from "fast-check";

import { makeSeededRandom } from "#lib/random.ts";

import { makeUuid } from "./edge.ts";
import { TextBuffer } from "#lib/text-buffer.ts";

import { compileFormat, compileJsonFormat } from "./format.ts";
import { ExchangeBench } from "./testing/bench.ts";

function finish(userAgent: string): ExchangeBench {
  const bench = new ExchangeBench();
  bench.request("GET", "/a?b", true, ["user-agent", userAgent]);
  bench.clock.advance(7);
  bench.attempt.answer(200, "body");
  return bench;
}

function lineOf(bench: ExchangeBench, fields: Parameters<typeof compileJsonFormat>[0]): unknown {
  const [exchange] = bench.done;
  assert.ok(exchange !== undefined);
  const out = new TextBuffer();
  compileJsonFormat(fields)(exchange, out);
  return JSON.parse(out.bytes.toString());
}

describe("a JSON log format", () => {
  it("keeps the types of single operators, joins text, and writes null for what is absent", () => {
    const made = lineOf(finish("curl"), {
      status: "%RESPONSE_CODE%",
      text: '"%REQ(:METHOD)%" took %DURATION% ms',
      absent: "%REQ(X-NONE)%",
      nested: { list: ["%PROTOCOL%", 3, true, null] },
      empty: {},
    });
    assert.deepEqual(made, {
      status: 200,
      text: '"GET" took 7 ms',
      absent: null,
      nested: { list: ["HTTP/1.1", 3, true, null] },
      empty: {},
    });
  });

  it("carries any value that a client sends", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (userAgent, key) => {
        assert.deepEqual(lineOf(finish(userAgent), { [key]: "%REQ(USER-AGENT)%" }), { [key]: userAgent });
      }),
      { numRuns: 50 },
    );
  });

  it("writes the start in ISO 8601 to the millisecond", () => {
    const bench = finish("curl");
    const [exchange] = bench.done;
    assert.ok(exchange !== undefined);
    const expected = new Date(Math.floor(bench.clock.wallMs() - 7)).toISOString();
    assert.equal(compileFormat("%START_TIME%")(exchange), expected);
  });
});

it("a request id is a version 4 UUID, each another one", () => {
  const random = makeSeededRandom(9);
  const ids = Array.from({ length: 100 }, () => makeUuid(random));
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(ids).size, 100);
});
