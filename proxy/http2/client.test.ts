// The client's side as dialogues of frames, and its life in a pool.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { FRAME } from "./frame.ts";
import { SETTING } from "./settings.ts";
import { ClientDialogue } from "./testing/dialogue.ts";
import { data, describeFrames, frame, GET, headers, PREFACE, settings, uint32 } from "./testing/frames.ts";
import { type Fields, Recorder } from "./testing/recorder.ts";

const OK: Fields = [[":status", "200"]];

function open(dialogue: ClientDialogue, fields: Fields = GET, end = true) {
  const recorder = new Recorder(undefined);
  const stream = dialogue.client.open(recorder);
  recorder.consumer = stream;
  stream.sendHead(HeaderBlock.of(...fields), end);
  return { recorder, stream };
}

function goaway(lastStreamId: number, code = 0): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId);
  payload.writeUInt32BE(code, 4);
  return frame(FRAME.GOAWAY, 0, 0, payload);
}

describe("an HTTP/2 client", () => {
  it("begins with the preface, and sends requests before it hears of the server", () => {
    const dialogue = new ClientDialogue({}, "silent");
    open(dialogue);
    assert.deepEqual(dialogue.answer(), ["HEADERS 1 END"]);
    assert.ok(dialogue.client.isAvailable);
    assert.equal(dialogue.client.maxStreams, 100);
  });

  it("tells once that the server has said how many streams it takes, also where none of them is free", () => {
    const dialogue = new ClientDialogue({}, "silent");
    open(dialogue);
    assert.equal(dialogue.client.isSettled, false);
    dialogue.send(settings([SETTING.MAX_CONCURRENT_STREAMS, 1]));
    assert.equal(dialogue.client.isSettled, true);
    assert.equal(dialogue.client.isAvailable, false);
    assert.deepEqual(dialogue.told, ["available"]);
    dialogue.send(settings([SETTING.MAX_CONCURRENT_STREAMS, 1]));
    assert.deepEqual(dialogue.told, ["available"]);
    dialogue.send(headers(1, OK, true));
    assert.deepEqual(dialogue.told, ["available", "available"]);
  });

  it("reads heads, informational heads, bodies and trailers", () => {
    const dialogue = new ClientDialogue();
    const { recorder } = open(dialogue);
    dialogue.send(
      headers(1, [[":status", "103"]], false),
      headers(1, [...OK, ["content-length", "5"]], false),
      data(1, "hello", false),
      headers(1, [["grpc-status", "0"]], true),
    );
    assert.deepEqual(recorder.events, ["informational 103", "head", "trailers grpc-status,0"]);
    assert.equal(recorder.body, "hello");
    assert.equal(dialogue.client.activeStreams, 0);
  });

  it("knows answers that have a length and no body", () => {
    const dialogue = new ClientDialogue();
    const head = open(dialogue, [[":method", "HEAD"], ...GET.slice(1)]).recorder;
    const notModified = open(dialogue).recorder;
    dialogue.send(
      headers(1, [...OK, ["content-length", "5"]], true),
      headers(
        3,
        [
          [":status", "304"],
          ["content-length", "5"],
        ],
        true,
      ),
    );
    assert.deepEqual([head.events, notModified.events], [["head end"], ["head end"]]);
  });

  it("resets malformed responses and says so", () => {
    const malformed: readonly (readonly [Fields, boolean])[] = [
      [[["x", "y"]], true],
      [[[":status", "101"]], false],
      [[[":status", "100"]], true],
      [[[":status", "2000"]], true],
      [[...OK, [":status", "200"]], true],
      [[...OK, [":path", "/"]], true],
      [[...OK, ["connection", "close"]], true],
      [[...OK, ["content-length", "3"]], true],
    ];
    for (const [fields, isEnd] of malformed) {
      const dialogue = new ClientDialogue();
      const { recorder } = open(dialogue);
      assert.deepEqual(dialogue.send(headers(1, fields, isEnd)).slice(-1), ["RST_STREAM 1 0x1"], fields.join(" "));
      assert.deepEqual(recorder.events, ["reset us stream PROTOCOL_ERROR"]);
    }
  });

  it("opens as many streams as the server allows, and tells when there is room again", () => {
    const dialogue = new ClientDialogue({}, [[SETTING.MAX_CONCURRENT_STREAMS, 2]]);
    const first = open(dialogue);
    assert.ok(dialogue.client.isAvailable);
    open(dialogue);
    assert.ok(!dialogue.client.isAvailable);
    dialogue.send(headers(1, OK, true));
    assert.deepEqual(dialogue.told, ["available"]);
    assert.deepEqual(first.recorder.events, ["head end"]);
    open(dialogue);
    dialogue.send(settings([SETTING.MAX_CONCURRENT_STREAMS, 3]));
    assert.deepEqual(dialogue.told, ["available", "available"]);
  });

  it("sends no request whose headers are above what the server takes, and goes on with others", () => {
    const dialogue = new ClientDialogue({}, [[SETTING.MAX_HEADER_LIST_SIZE, 400]]);
    // 4 pseudo-headers of GET, and a field whose name, value and 32 octets reach the limit, or pass it by one.
    const rest = 400 - GET.reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0) - 32 - 1;
    const large = open(dialogue, [...GET, ["x", "v".repeat(rest + 1)]]);
    dialogue.clock.advance(0);
    assert.equal(large.recorder.error?.status, 400);
    assert.match(large.recorder.error?.message ?? "", /above the 400 bytes that the server takes/);
    assert.deepEqual(dialogue.answer(), []);
    assert.equal(dialogue.client.activeStreams, 0);
    open(dialogue, [...GET, ["x", "v".repeat(rest)]]);
    assert.deepEqual(dialogue.answer(), ["HEADERS 1 END"]);
  });

  it("takes RST_STREAM NO_ERROR for the end of an answer whose content-length is reached, and of no other", () => {
    const reset = (id: number, code: number): Buffer => uint32(FRAME.RST_STREAM, id, code);
    for (const [fields, code, end] of [
      [[...OK, ["content-length", "3"]], H2_ERROR.NO_ERROR, "end"],
      [[...OK, ["content-length", "4"]], H2_ERROR.NO_ERROR, "reset"],
      [OK, H2_ERROR.NO_ERROR, "reset"],
      [[...OK, ["content-length", "3"]], H2_ERROR.CANCEL, "reset"],
    ] as const) {
      const dialogue = new ClientDialogue();
      const { recorder } = open(dialogue);
      dialogue.send(headers(1, fields, false), data(1, "abc", false), reset(1, code));
      assert.equal(recorder.error === undefined ? "end" : "reset", end, JSON.stringify([fields, code]));
      assert.equal(recorder.events.includes("end"), end === "end");
      assert.equal(dialogue.client.activeStreams, 0);
    }
  });

  it("opens no more streams than a limit that was lowered, and does not lose those that run", () => {
    const dialogue = new ClientDialogue({}, [[SETTING.MAX_CONCURRENT_STREAMS, 10]]);
    const streams = [1, 2, 3].map(() => open(dialogue));
    dialogue.answer();
    dialogue.send(settings([SETTING.MAX_CONCURRENT_STREAMS, 2]));
    assert.equal(dialogue.client.isAvailable, false);
    dialogue.send(headers(1, OK, true));
    assert.equal(dialogue.client.isAvailable, false);
    dialogue.send(headers(3, OK, true));
    assert.equal(dialogue.client.isAvailable, true);
    assert.deepEqual(dialogue.told, ["available"]);
    dialogue.send(headers(5, OK, true));
    assert.ok(streams.every(({ recorder }) => recorder.isDone));
  });

  it("says which requests were not processed: refused ones and those above GOAWAY's last", () => {
    const dialogue = new ClientDialogue();
    const streams = [open(dialogue), open(dialogue), open(dialogue)];
    dialogue.send(uint32(FRAME.RST_STREAM, 1, H2_ERROR.REFUSED_STREAM), goaway(3));
    assert.deepEqual(
      streams.map(({ recorder }) => recorder.error?.isUnprocessed),
      [true, undefined, true],
    );
    assert.deepEqual(dialogue.told, ["retired"]);
    assert.ok(!dialogue.client.isAvailable && !dialogue.host.isClosed);
    dialogue.send(headers(3, OK, true));
    assert.ok(dialogue.host.isClosed);
  });

  it("goes on with running streams through a graceful GOAWAY", () => {
    const dialogue = new ClientDialogue();
    const { recorder } = open(dialogue);
    dialogue.send(goaway(0x7fffffff), goaway(1), headers(1, OK, true));
    assert.deepEqual(recorder.events, ["head end"]);
    assert.ok(dialogue.host.isClosed);
  });

  it("drains: no new streams, closes after the last", () => {
    const dialogue = new ClientDialogue();
    open(dialogue);
    dialogue.answer();
    dialogue.client.drain();
    assert.deepEqual(dialogue.answer(), ["GOAWAY 0 0x0"]);
    assert.ok(!dialogue.client.isAvailable);
    dialogue.send(headers(1, OK, true));
    assert.ok(dialogue.host.isClosed);
    assert.deepEqual(dialogue.told, ["retired"]);
  });

  it("knows that the server never heard of what had not left when it went, and does not send it any more", () => {
    const dialogue = new ClientDialogue();
    const sent = open(dialogue);
    assert.equal(dialogue.answer().length, 1);
    const unsent = [open(dialogue), open(dialogue)];
    dialogue.client.receiveEnd();
    assert.equal(sent.recorder.error?.isUnprocessed, false);
    for (const { recorder } of unsent) assert.equal(recorder.error?.isUnprocessed, true);
    assert.deepEqual(dialogue.answer(), []);
    assert.ok(dialogue.host.isClosed);
  });

  it("tells when the server ends it unasked, unless an answer is on its way", () => {
    for (const [isAnswered, expected] of [
      [false, ["closed", "retired"]],
      [true, ["retired"]],
    ] as const) {
      const dialogue = new ClientDialogue();
      const told: string[] = [];
      dialogue.onPeerClosed = () => void told.push("closed");
      open(dialogue);
      if (isAnswered) dialogue.send(headers(1, OK, false));
      dialogue.send(goaway(1));
      assert.deepEqual([...told, ...dialogue.told], expected);
      dialogue.client.receiveEnd();
      assert.equal(told.length + dialogue.told.length, expected.length);
    }
  });

  it("fails what runs when the server goes", () => {
    const dialogue = new ClientDialogue();
    const { recorder } = open(dialogue);
    dialogue.client.receiveEnd();
    assert.deepEqual(recorder.events, ["reset transport connection CANCEL"]);
    assert.deepEqual(dialogue.told, ["retired"]);
  });

  it("is told of nothing after its own reset", () => {
    const dialogue = new ClientDialogue();
    const { recorder, stream } = open(dialogue);
    stream.reset(makeStreamError("user", "stream", H2_ERROR.CANCEL, "gone"));
    assert.deepEqual(dialogue.send(headers(1, OK, false), data(1, "x", true)), ["HEADERS 1 END", "RST_STREAM 1 0x8"]);
    assert.deepEqual(recorder.events, []);
  });

  it("refuses PUSH_PROMISE and streams that it never opened", () => {
    for (const bytes of [
      frame(FRAME.PUSH_PROMISE, 4, 1, Buffer.alloc(4)),
      headers(2, OK, true),
      headers(5, OK, true),
    ]) {
      const dialogue = new ClientDialogue();
      open(dialogue);
      dialogue.answer();
      assert.deepEqual(dialogue.send(bytes), ["GOAWAY 0 0x1"]);
    }
  });

  it("names the authority by an HTTP/1 request's host", () => {
    const dialogue = new ClientDialogue();
    open(dialogue, [...GET.slice(0, 3), ["host", "shop:80"]]);
    const bytes = dialogue.host.take();
    assert.deepEqual(describeFrames(bytes), ["HEADERS 1 END"]);
    assert.ok(bytes.includes("shop:80"));
    assert.ok(!bytes.includes(PREFACE));
  });
});
