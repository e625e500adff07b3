// Flow control: windows of stream and connection both ways, turns between streams, back-pressure of the socket.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { FRAME } from "./frame.ts";
import { SETTING } from "./settings.ts";
import { ServerDialogue } from "./testing/dialogue.ts";
import { data, get, headers, POST, settings, uint32 } from "./testing/frames.ts";
import { Pair, type Recorder } from "./testing/recorder.ts";

const OK = HeaderBlock.of([":status", "200"]);
const KIB = 1024;
const GONE = makeStreamError("user", "stream", H2_ERROR.CANCEL, "gone");
const REQUEST = [
  [":method", "GET"],
  [":scheme", "http"],
  [":path", "/"],
  [":authority", "a"],
] as const;

describe("flow control", () => {
  it("sends what the stream's window allows, the rest when it opens", () => {
    const dialogue = new ServerDialogue({}, [[SETTING.INITIAL_WINDOW_SIZE, 10]]);
    dialogue.send(get(1));
    const { stream } = dialogue.handler.last;
    stream.sendHead(OK, false);
    assert.equal(stream.sendData(Buffer.alloc(25), 0, 25, true), true);
    assert.deepEqual(dialogue.answer(), ["HEADERS 1", "DATA 1 10"]);
    assert.equal(stream.bufferedBytes, 15);
    assert.deepEqual(dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 1)), ["DATA 1 1"]);
    assert.deepEqual(dialogue.send(settings([SETTING.INITIAL_WINDOW_SIZE, 14])), ["SETTINGS ACK", "DATA 1 4"]);
    assert.deepEqual(dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 100)), ["DATA 1 10 END"]);
  });

  it("lets SETTINGS take a window below zero", () => {
    const dialogue = new ServerDialogue({}, [[SETTING.INITIAL_WINDOW_SIZE, 10]]);
    dialogue.send(get(1));
    const { stream } = dialogue.handler.last;
    stream.sendHead(OK, false);
    stream.sendData(Buffer.alloc(12), 0, 12, false);
    stream.sendTrailers(HeaderBlock.of(["grpc-status", "0"]));
    dialogue.send(settings([SETTING.INITIAL_WINDOW_SIZE, 0]));
    assert.deepEqual(dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 10)), []);
    assert.deepEqual(dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 5)), ["DATA 1 2", "HEADERS 1 END"]);
  });

  it("says stop above the stream's buffer, and go on below half of it", () => {
    const dialogue = new ServerDialogue({ streamBufferBytes: 1000 }, [[SETTING.INITIAL_WINDOW_SIZE, 0]]);
    dialogue.send(get(1));
    const { stream } = dialogue.handler.last;
    stream.sendHead(OK, false);
    assert.equal(stream.sendData(Buffer.alloc(1000), 0, 1000, false), true);
    assert.equal(stream.sendData(Buffer.alloc(1), 0, 1, false), false);
    dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 400));
    assert.equal(dialogue.handler.last.drains, 0);
    dialogue.send(uint32(FRAME.WINDOW_UPDATE, 1, 200));
    assert.equal(dialogue.handler.last.drains, 1);
  });

  it("still sends a complete answer whose user wants no more of the request", () => {
    const dialogue = new ServerDialogue({}, [[SETTING.INITIAL_WINDOW_SIZE, 10]]);
    dialogue.send(headers(1, POST, false));
    const { stream } = dialogue.handler.last;
    stream.sendHead(OK, false);
    stream.sendData(Buffer.alloc(15), 0, 15, true);
    stream.reset(makeStreamError("us", "stream", H2_ERROR.NO_ERROR, "done"));
    assert.deepEqual(dialogue.answer(), ["HEADERS 1", "DATA 1 10"]);
    const frames = dialogue.send(data(1, "more", false), uint32(FRAME.WINDOW_UPDATE, 1, 5));
    assert.deepEqual(frames, ["DATA 1 5 END", "RST_STREAM 1 0x0"]);
    assert.deepEqual(dialogue.handler.last.events, ["head"]);
    assert.equal(dialogue.server.activeStreams, 0);
  });

  it("gives streams turns of a frame each when the connection's window opens", () => {
    const dialogue = new ServerDialogue({}, [[SETTING.INITIAL_WINDOW_SIZE, 1 << 20]]);
    dialogue.send(get(1), get(3));
    const body = Buffer.alloc(80 * KIB);
    for (const { stream } of dialogue.handler.requests) {
      stream?.sendHead(OK, false);
      stream?.sendData(body, 0, body.length, true);
    }
    dialogue.answer();
    const frames = dialogue.send(uint32(FRAME.WINDOW_UPDATE, 0, 80 * KIB));
    // The first stream had the connection's first 64 KiB; 17 KiB of it are left, all of the second's 80 KiB.
    assert.deepEqual(frames, [
      "DATA 1 16384",
      "DATA 3 16384",
      "DATA 1 1 END",
      "DATA 3 16384",
      "DATA 3 16384",
      "DATA 3 16383",
    ]);
  });

  it("makes no DATA while the socket is full", () => {
    const dialogue = new ServerDialogue({}, [[SETTING.INITIAL_WINDOW_SIZE, 1 << 20]]);
    dialogue.send(get(1), uint32(FRAME.WINDOW_UPDATE, 0, 1 << 20));
    const { stream } = dialogue.handler.last;
    stream.sendHead(OK, false);
    dialogue.host.out.pendingBytes = 513 * KIB;
    assert.equal(stream.sendData(Buffer.alloc(100 * KIB), 0, 100 * KIB, true), false);
    assert.deepEqual(dialogue.answer(), ["HEADERS 1"]);
    dialogue.host.out.pendingBytes = 0;
    dialogue.server.onSocketDrain();
    assert.equal(dialogue.answer().at(-1), "DATA 1 4096 END");
    assert.equal(dialogue.handler.last.drains, 1);
  });

  it("credits only what was passed on, at half of each window", () => {
    const dialogue = new ServerDialogue({ initialStreamWindowBytes: 100, initialConnectionWindowBytes: 65535 });
    dialogue.handler.consumes = false;
    dialogue.send(headers(1, POST, false));
    assert.deepEqual(dialogue.send(data(1, Buffer.alloc(60), false)), []);
    const { stream } = dialogue.handler.last;
    stream.consumed(49);
    assert.deepEqual(dialogue.answer(), []);
    stream.consumed(1);
    assert.deepEqual(dialogue.answer(), ["WINDOW_UPDATE 1 50"]);
    assert.deepEqual(dialogue.send(data(1, Buffer.alloc(91), false)), ["RST_STREAM 1 0x3"]);
  });

  it("keeps no credit back that the others wait for while a stream is not read", () => {
    const dialogue = new ServerDialogue({ initialStreamWindowBytes: 45_000, initialConnectionWindowBytes: 65_535 });
    dialogue.handler.consumes = false;
    dialogue.send(headers(1, POST, false));
    const unread = dialogue.handler.last;
    dialogue.send(headers(3, POST, false));
    // Less than half of the window is passed on; the stream that nobody reads then takes all that is left but a little.
    dialogue.send(data(3, Buffer.alloc(16_000), false));
    dialogue.handler.last.stream.consumed(16_000);
    assert.deepEqual(dialogue.answer(), []);
    const piece = data(1, Buffer.alloc(14_000), false);
    assert.deepEqual(dialogue.send(piece, piece), []);
    assert.deepEqual(dialogue.send(piece), ["WINDOW_UPDATE 0 16000"]);
    assert.equal(unread.dataBytes, 42_000);
  });

  it("loses a connection whose peer overruns its window", () => {
    const dialogue = new ServerDialogue({ initialStreamWindowBytes: 1 << 20, initialConnectionWindowBytes: 65535 });
    dialogue.handler.consumes = false;
    dialogue.send(headers(1, POST, false));
    const piece = data(1, Buffer.alloc(16384), false);
    assert.deepEqual(dialogue.send(piece, piece, piece, piece), ["GOAWAY 1 0x3"]);
  });

  it("loads a full body after many aborted downloads: dropped bytes are credited to the connection", () => {
    const small = { initialConnectionWindowBytes: 65535, initialStreamWindowBytes: 32 * KIB };
    const pair = new Pair(small, small);
    const body = Buffer.alloc(200 * KIB, "x");
    const serve = (): void => {
      const { stream } = pair.handler.last;
      stream.sendHead(OK, false);
      stream.sendData(body, 0, body.length, true);
      pair.run();
    };
    for (let i = 0; i < 20; i++) {
      const download: Recorder = pair.open(REQUEST, true);
      download.consumes = false;
      pair.run();
      serve();
      assert.ok(download.dataBytes > 0);
      download.consumer?.reset(GONE);
      pair.run();
    }
    const whole = pair.open(REQUEST, true);
    pair.run();
    serve();
    assert.equal(whole.dataBytes, body.length);
    assert.ok(whole.isDone);
  });

  it("does the same when the peer aborts what it sends, and when a whole body is never read", () => {
    const small = { initialConnectionWindowBytes: 65535, initialStreamWindowBytes: 32 * KIB };
    const pair = new Pair(small, small);
    pair.handler.consumes = false;
    const body = Buffer.alloc(20 * KIB);
    for (let i = 0; i < 20; i++) {
      const upload = pair.open([[":method", "POST"], ...REQUEST.slice(1)], false);
      upload.stream.sendData(body, 0, body.length, i % 2 === 0);
      pair.run();
      assert.equal(pair.handler.last.dataBytes, body.length, `upload ${i}`);
      if (i % 2 === 1) upload.stream.reset(GONE);
      else pair.handler.last.stream.sendHead(OK, true);
      pair.run();
    }
    assert.equal(pair.server.activeStreams, 0);
  });
});
