// Floods: each is cut off with ENHANCE_YOUR_CALM, and what looks like one but is normal is not.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR } from "#lib/http/stream-error.ts";
import { FRAME } from "./frame.ts";
import { ServerDialogue } from "./testing/dialogue.ts";
import {
  data,
  describeFrames,
  frame,
  GET,
  get,
  headers,
  plainBlock,
  POST,
  settings,
  settingsAck,
  uint32,
} from "./testing/frames.ts";

const CALM = H2_ERROR.ENHANCE_YOUR_CALM;

/** Sends `count` times what `make` gives, each time in a read of its own; gives how many it took until the end, or 0. */
function flood(dialogue: ServerDialogue, count: number, make: (i: number) => Buffer): number {
  for (let i = 0; i < count; i++) {
    const bytes = make(i);
    dialogue.server.receive(bytes, 0, bytes.length);
    if (dialogue.host.isClosed) return i + 1;
  }
  return 0;
}

describe("an HTTP/2 server under attack", () => {
  it("cuts off rapid reset", () => {
    const dialogue = new ServerDialogue({ maxPrematureResets: 50 });
    const took = flood(dialogue, 500, (i) =>
      Buffer.concat([get(i * 2 + 1), uint32(FRAME.RST_STREAM, i * 2 + 1, H2_ERROR.CANCEL)]),
    );
    assert.equal(took, 51);
    assert.equal(dialogue.host.closeError?.code, CALM);
  });

  it("cuts off resets that the peer provokes from us", () => {
    const dialogue = new ServerDialogue({ maxPrematureResets: 50 });
    const took = flood(dialogue, 500, (i) =>
      Buffer.concat([headers(i * 2 + 1, POST, false), uint32(FRAME.WINDOW_UPDATE, i * 2 + 1, 0)]),
    );
    assert.equal(took, 51);
  });

  it("lets a peer cancel what was answered, or was long in coming", () => {
    const dialogue = new ServerDialogue({ maxPrematureResets: 50 });
    const took = flood(dialogue, 120, (i) => {
      const id = i * 2 + 1;
      dialogue.send(get(id));
      if (i % 2 === 0) dialogue.handler.last.stream.sendHead(HeaderBlock.of([":status", "200"]), false);
      else dialogue.clock.advance(1001);
      dialogue.host.take();
      return uint32(FRAME.RST_STREAM, id, H2_ERROR.CANCEL);
    });
    assert.equal(took, 0);
  });

  it("cuts off a header block that does not end, in bytes and in pieces", () => {
    const begin = frame(FRAME.HEADERS, 1, 1, plainBlock(GET));
    const large = new ServerDialogue();
    large.send(begin);
    const piece = frame(FRAME.CONTINUATION, 0, 1, plainBlock([["x", "y".repeat(100)]]));
    assert.equal(
      flood(large, 5000, () => piece),
      128,
    );
    assert.equal(large.host.closeError?.code, CALM);
    const wide = new ServerDialogue();
    wide.send(begin);
    const took = flood(wide, 100, () => frame(FRAME.CONTINUATION, 0, 1, Buffer.alloc(16384)));
    assert.ok(took > 1 && took < 10);
  });

  it("cuts off empty frames", () => {
    const dialogue = new ServerDialogue();
    dialogue.send(headers(1, POST, false));
    assert.equal(
      flood(dialogue, 10, () => data(1, "", false)),
      2,
    );
    const continuation = new ServerDialogue();
    continuation.send(frame(FRAME.HEADERS, 1, 1, plainBlock(GET)));
    assert.equal(
      flood(continuation, 10, () => frame(FRAME.CONTINUATION, 0, 1)),
      2,
    );
  });

  it("cuts off PING and SETTINGS whose answers are not read, and not those that are", () => {
    for (const bytes of [frame(FRAME.PING, 0, 0, Buffer.alloc(8)), settings()]) {
      const dialogue = new ServerDialogue();
      dialogue.host.out.pendingBytes = 1;
      assert.ok(flood(dialogue, 2000, () => bytes) > 900);
      assert.equal(dialogue.host.closeError?.code, CALM);
      const reading = new ServerDialogue();
      assert.equal(
        flood(reading, 5000, (i) => {
          if (i % 900 === 0) reading.clock.advance(1000);
          return bytes;
        }),
        0,
      );
    }
  });

  it("cuts off more than a thousand frames a second that carry nothing, beside what streams and answers explain", () => {
    const idle: readonly Buffer[] = [
      settings(),
      settingsAck(),
      frame(FRAME.PING, 0, 0, Buffer.alloc(8)),
      frame(FRAME.PING, 1, 0, Buffer.alloc(8)),
      frame(0x10, 0, 0, Buffer.alloc(5)),
      frame(0x77, 0xff, 9),
      uint32(FRAME.RST_STREAM, 1, H2_ERROR.CANCEL),
    ];
    for (const bytes of idle) {
      const dialogue = new ServerDialogue({ maxIdleFramesPerSecond: 1000 });
      dialogue.clock.advance(5000);
      dialogue.send(get(1), uint32(FRAME.RST_STREAM, 1, H2_ERROR.CANCEL));
      const took = flood(dialogue, 3000, () => bytes);
      assert.ok(took > 900 && took <= 1005, `${took} of ${String(bytes[3])}`);
      assert.equal(dialogue.host.closeError?.code, CALM);
    }
    const dialogue = new ServerDialogue({ maxIdleFramesPerSecond: 10 });
    dialogue.clock.advance(5000);
    const took = flood(dialogue, 400, (i) =>
      Buffer.concat([get(i * 2 + 1), frame(FRAME.PING, 0, 0, Buffer.alloc(8)), settings()]),
    );
    assert.equal(took, 0);
  });

  it("cuts off windows that open byte by byte", () => {
    const dialogue = new ServerDialogue({ maxIdleFramesPerSecond: 10 });
    dialogue.clock.advance(5000);
    dialogue.send(settings([4, 0]), get(1));
    const { stream } = dialogue.handler.last;
    stream.sendHead(HeaderBlock.of([":status", "200"]), false);
    stream.sendData(Buffer.alloc(1000), 0, 1000, true);
    assert.equal(
      flood(dialogue, 100, () => uint32(FRAME.WINDOW_UPDATE, 1, 1)),
      14,
    );
    const bySettings = new ServerDialogue({ maxIdleFramesPerSecond: 10 });
    bySettings.clock.advance(5000);
    bySettings.send(settings([4, 0]), get(1));
    bySettings.handler.last.stream.sendHead(HeaderBlock.of([":status", "200"]), false);
    bySettings.handler.last.stream.sendData(Buffer.alloc(1000), 0, 1000, true);
    assert.ok(flood(bySettings, 100, (i) => settings([4, i + 1])) > 0);
  });

  it("resets a complete answer for which the peer makes no room, and not one for which it makes a little", () => {
    const dialogue = new ServerDialogue({ streamFlushTimeoutMs: 1000 });
    dialogue.send(settings([4, 0]), get(1), get(3));
    for (const { stream } of dialogue.handler.requests) {
      stream?.sendHead(HeaderBlock.of([":status", "200"]), false);
      stream?.sendData(Buffer.alloc(1000), 0, 1000, true);
    }
    dialogue.host.take();
    dialogue.clock.advance(1000);
    assert.deepEqual(dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 100)), ["DATA 1 100"]);
    dialogue.clock.advance(1000);
    assert.deepEqual(describeFrames(dialogue.host.take()), ["RST_STREAM 3 0x8"]);
    dialogue.clock.advance(1000);
    assert.deepEqual(describeFrames(dialogue.host.take()), ["RST_STREAM 1 0x8"]);
  });

  it("cuts off DATA of padding alone", () => {
    const dialogue = new ServerDialogue({ maxIdleFramesPerSecond: 10 });
    dialogue.clock.advance(5000);
    dialogue.send(headers(1, POST, false));
    const took = flood(dialogue, 100, () => frame(FRAME.DATA, 8, 1, Buffer.from([2, 0, 0])));
    assert.ok(took > 10 && took < 20, `${took}`);
  });

  it("cuts off PRIORITY and WINDOW_UPDATE floods", () => {
    const priority = frame(FRAME.PRIORITY, 0, 1, Buffer.alloc(5));
    assert.equal(
      flood(new ServerDialogue(), 1000, () => priority),
      101,
    );
    assert.equal(
      flood(new ServerDialogue(), 1000, () => uint32(FRAME.WINDOW_UPDATE, 0, 1)),
      6,
    );
  });

  it("bounds what an HPACK bomb makes", () => {
    const dialogue = new ServerDialogue();
    const bomb = Buffer.concat([
      plainBlock(GET),
      plainBlock([["x", "y".repeat(120)]], 0x40),
      Buffer.alloc(16000, 0xbe),
    ]);
    assert.deepEqual(dialogue.send(frame(FRAME.HEADERS, 5, 1, bomb)), ["HEADERS 1 END"]);
    assert.equal(dialogue.handler.requests.length, 0);
  });
});
