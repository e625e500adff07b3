// Reads cut frames anywhere: the same dialogue must come out, whatever the pieces.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http2Client } from "./client.ts";
import { FRAME } from "./frame.ts";
import { Http2Server } from "./server.ts";
import {
  data,
  frame,
  get,
  headers,
  plainBlock,
  POST,
  PREFACE,
  settings,
  settingsAck,
  uint32,
} from "./testing/frames.ts";
import { makeSettings, RecordingHandler, Recorder } from "./testing/recorder.ts";

const indexed = plainBlock([["x-indexed", "value"]], 0x40);

const DIALOGUE = Buffer.concat([
  PREFACE,
  settings([3, 100]),
  settingsAck(),
  headers(1, [...POST, ["x-a", "b"]], false),
  data(1, "hello ", false),
  frame(FRAME.PING, 0, 0, Buffer.alloc(8)),
  frame(FRAME.DATA, 0x8, 1, Buffer.from("\x02padded\0\0", "latin1")),
  frame(FRAME.DATA, 0x8, 1, Buffer.from("\x02\0\0", "latin1")),
  frame(FRAME.HEADERS, 1, 3, plainBlock(POST)),
  frame(FRAME.CONTINUATION, 0, 3, indexed),
  frame(FRAME.CONTINUATION, 4, 3, Buffer.from([0xbe])),
  uint32(FRAME.WINDOW_UPDATE, 1, 5),
  headers(1, [["x-trailer", "t"]], true),
  frame(0x42, 0, 0, Buffer.from("unknown")),
  get(5),
]);

function converse(pieces: readonly Buffer[]): string {
  const host = new MemoryHost();
  const handler = new RecordingHandler();
  const server = new Http2Server(host, handler, makeSettings(), new FakeClock());
  // Each piece lies elsewhere in the buffer that it is read into, and is overwritten afterwards.
  const buffer = Buffer.alloc(4096);
  for (const piece of pieces) {
    piece.copy(buffer, 100);
    server.receive(buffer, 100, 100 + piece.length);
    buffer.fill(0xff);
  }
  assert.equal(host.isClosed, false, host.closeError?.message ?? "");
  return JSON.stringify(handler.requests.map(({ fields, events, body }) => [fields, events, body]));
}

describe("frames cut by reads", () => {
  const whole = converse([DIALOGUE]);

  it("make the same dialogue when cut once, at every offset", () => {
    assert.match(whole, /hello padded/);
    assert.match(whole, /x-indexed.*x-indexed/);
    for (let at = 1; at < DIALOGUE.length; at++)
      assert.equal(converse([DIALOGUE.subarray(0, at), DIALOGUE.subarray(at)]), whole, `cut at ${at}`);
  });

  it("make the same dialogue octet by octet, and in random pieces", () => {
    assert.equal(converse([...DIALOGUE].map((octet) => Buffer.from([octet]))), whole);
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: DIALOGUE.length - 1 }), { maxLength: 12 });
    fc.assert(
      fc.property(cuts, (offsets) => {
        const sorted = [0, ...offsets.toSorted((a, b) => a - b), DIALOGUE.length];
        assert.equal(converse(sorted.slice(1).map((end, i) => DIALOGUE.subarray(sorted[i] ?? 0, end))), whole);
      }),
    );
  });

  it("hands DATA on as it comes, not when a frame is whole", () => {
    const handler = new RecordingHandler();
    const server = new Http2Server(new MemoryHost(), handler, makeSettings(), new FakeClock());
    const bytes = Buffer.concat([PREFACE, settings(), headers(1, POST, false), data(1, "abcdef", true)]);
    server.receive(bytes, 0, bytes.length - 3);
    assert.equal(handler.last.body, "abc");
    server.receive(bytes, bytes.length - 3, bytes.length);
    assert.equal(handler.last.body, "abcdef");
  });
});

describe("random bytes", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
    fc
      .tuple(
        fc.integer({ min: 0, max: 11 }),
        fc.integer({ min: 0, max: 255 }),
        fc.integer({ min: 0, max: 6 }),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([type, flags, id, payload]) => frame(type, flags, id, payload)),
    fc.constantFrom(get(1), headers(1, POST, false), headers(3, POST, false), data(1, "abc", true), settings([4, 0])),
  );
  const dialogue = fc.array(piece, { maxLength: 12 });

  it("never make a server throw, and a closed one is silent", () => {
    fc.assert(
      fc.property(dialogue, (pieces) => {
        const host = new MemoryHost();
        const handler = new RecordingHandler();
        const server = new Http2Server(host, handler, makeSettings(), new FakeClock());
        const begin = Buffer.concat([PREFACE, settings()]);
        server.receive(begin, 0, begin.length);
        for (const bytes of pieces) {
          server.receive(bytes, 0, bytes.length);
          for (const { stream } of handler.requests) stream?.sendHead(HeaderBlock.of([":status", "200"]), false);
        }
        if (host.isClosed) assert.equal(server.activeStreams, 0);
      }),
      { numRuns: 300 },
    );
  });

  it("never make a client throw", () => {
    fc.assert(
      fc.property(dialogue, (pieces) => {
        const host = new MemoryHost();
        const handler = { onAvailable() {}, onRetired() {} };
        const client = new Http2Client(host, handler, makeSettings(), new FakeClock());
        for (let i = 0; i < 2; i++) client.open(new Recorder(undefined)).sendHead(HeaderBlock.of(...POST), false);
        const begin = settings();
        client.receive(begin, 0, begin.length);
        for (const bytes of pieces) client.receive(bytes, 0, bytes.length);
        if (host.isClosed) assert.equal(client.activeStreams, 0);
      }),
      { numRuns: 300 },
    );
  });
});
