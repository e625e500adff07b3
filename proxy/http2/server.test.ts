// The server's side as dialogues of frames: what a peer sends, what it hears, what the handler is told.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { FRAME } from "./frame.ts";
import { Http2Server } from "./server.ts";
import { SETTING } from "./settings.ts";
import { ServerDialogue } from "./testing/dialogue.ts";
import { data, frame, GET, get, headers, plainBlock, POST, PREFACE, settings, uint32 } from "./testing/frames.ts";
import { makeSettings, RecordingHandler } from "./testing/recorder.ts";

const OK = HeaderBlock.of([":status", "200"]);

describe("an HTTP/2 server", () => {
  it("answers a request, and forgets the stream", () => {
    const { send, answer, handler, server } = bind(new ServerDialogue());
    assert.deepEqual(send(get(1, ["accept", "*/*"])), []);
    assert.deepEqual(handler.last.fields, [...GET, ["accept", "*/*"]]);
    handler.last.stream.sendHead(OK, false);
    handler.last.stream.sendData(Buffer.from("hello"), 0, 5, true);
    assert.deepEqual(answer(), ["HEADERS 1", "DATA 1 5 END"]);
    assert.equal(server.activeStreams, 0);
  });

  it("passes bodies, trailers and padding on", () => {
    const { send, handler } = bind(new ServerDialogue());
    const padded = frame(FRAME.DATA, 0x8, 1, Buffer.from("\x03abc\0\0\0", "latin1"));
    send(headers(1, POST, false), padded, data(1, "def", false), headers(1, [["x-sum", "6"]], true));
    assert.equal(handler.last.body, "abcdef");
    assert.deepEqual(handler.last.events, ["head", "trailers x-sum,6"]);
  });

  it("sends informational heads and trailers", () => {
    const { send, answer, handler } = bind(new ServerDialogue());
    send(get(1));
    const { stream } = handler.last;
    stream.sendInformational(HeaderBlock.of([":status", "103"]));
    stream.sendHead(OK, false);
    stream.sendData(Buffer.from("x"), 0, 1, false);
    stream.sendTrailers(HeaderBlock.of(["grpc-status", "0"]));
    assert.deepEqual(answer(), ["HEADERS 1", "HEADERS 1", "DATA 1 1", "HEADERS 1 END"]);
  });

  it("knows the heads that are above what the client takes", () => {
    const { send, handler } = bind(new ServerDialogue({}, [[SETTING.MAX_HEADER_LIST_SIZE, 100]]));
    send(get(1));
    // `:status` and `x` with 32 octets each leave 25 for the value.
    const head = (length: number) => HeaderBlock.of([":status", "200"], ["x", "v".repeat(length)]);
    assert.equal(handler.last.stream.exceededLimit?.(head(25)), undefined);
    assert.equal(handler.last.stream.exceededLimit?.(head(26)), 100);
  });

  it("goes through the smallest of several table sizes, in one SETTINGS and in several (RFC 7541 §4.2)", () => {
    for (const [sizes, announced] of [
      [[[0, 4096]], "203fe11f"],
      [[[0, 100, 4096]], "203fe11f"],
      [[[200, 100]], "3f45"],
      [[[0], [4096]], "203fe11f"],
      [[[100], [200, 0], [50]], "203f13"],
      [[[4096]], ""],
      [[[50, 1 << 20]], "3f133fe11f"],
    ] as const) {
      const dialogue = new ServerDialogue();
      const { host, handler, send } = bind(dialogue);
      send(get(1));
      send(...sizes.map((values) => settings(...values.map((value) => [SETTING.HEADER_TABLE_SIZE, value] as const))));
      handler.last.stream.sendHead(OK, true);
      const frames = host.take();
      // 0x88: `:status: 200` of the static table.
      assert.equal(frames.subarray(9).toString("hex"), `${announced}88`, JSON.stringify(sizes));
    }
  });

  it("resets what is malformed and tells nobody above", () => {
    const malformed: readonly (readonly (readonly [string, string])[])[] = [
      [...GET, ["Accept", "a"]],
      [...GET, ["connection", "close"]],
      [...GET, ["transfer-encoding", "chunked"]],
      [...GET, ["te", "gzip"]],
      [...GET, ["x y", "a"]],
      [...GET, ["x:y", "a"]],
      [...GET, ["x", "a\r\nb: c"]],
      [...GET, [":path", "/"]],
      [...GET, [":status", "200"]],
      [["accept", "a"], ...GET],
      GET.slice(1),
      GET.filter(([name]) => name !== ":path"),
      GET.filter(([name]) => name !== ":scheme"),
      [...GET.filter(([name]) => name !== ":path"), [":path", "/a b"]],
      [...GET.filter(([name]) => name !== ":path"), [":path", ""]],
      [...GET.filter(([name]) => name !== ":path"), [":path", "a"]],
      [...GET.filter(([name]) => name !== ":path"), [":path", "*"]],
      [[":method", "GET / HTTP/1.1"], ...GET.slice(1)],
      [...GET.slice(0, 3), [":authority", "user@shop"]],
      [...GET, ["host", "other"]],
      [...GET, ["host", "shop"], ["host", "shop"]],
      [...GET, ["content-length", "1"], ["content-length", "2"]],
      [...GET, ["content-length", "-1"]],
      [...GET, ["content-length", "5"]],
      [
        [":method", "CONNECT"],
        [":path", "/"],
        [":authority", "a:1"],
      ],
      [[":method", "GET"], [":protocol", "websocket"], ...GET.slice(1)],
    ];
    for (const fields of malformed) {
      const { send, handler } = bind(new ServerDialogue());
      assert.deepEqual(send(headers(1, fields, true)), ["RST_STREAM 1 0x1"], fields.join(" "));
      assert.equal(handler.requests.length, 0);
    }
  });

  it("takes a host for the authority where there is none, and drops one that says the same", () => {
    const { send, handler } = bind(new ServerDialogue());
    send(headers(1, [...GET.slice(0, 3), ["host", "shop"]], true));
    assert.equal(handler.last.head?.get(":authority"), "shop");
    assert.equal(handler.last.head?.has("host"), false);
    send(get(3, ["host", "SHOP"]));
    assert.equal(handler.last.head?.has("host"), false);
  });

  it("resets a body that is not as long as it said", () => {
    for (const frames of [[data(1, "abcd", false)], [data(1, "ab", true)], [headers(1, [["x", "y"]], true)]]) {
      const { send, handler } = bind(new ServerDialogue());
      assert.deepEqual(send(headers(1, [...POST, ["content-length", "3"]], false), ...frames), ["RST_STREAM 1 0x1"]);
      assert.equal(handler.last.events.at(-1), "reset us stream PROTOCOL_ERROR");
    }
  });

  it("answers 431 to headers above its limits and goes on", () => {
    const { send, handler } = bind(new ServerDialogue({ maxHeadersBytes: 300, maxHeadersCount: 8 }));
    assert.deepEqual(send(get(1, ["x-a", "a".repeat(120)])), ["HEADERS 1 END"]);
    const many = Array.from({ length: 5 }, (_, i) => [`x${i}`, ""] as const);
    assert.deepEqual(send(headers(3, [...POST, ...many], false)), ["HEADERS 3 END", "RST_STREAM 3 0x0"]);
    assert.equal(handler.requests.length, 0);
    send(data(3, "late", true), get(5));
    assert.equal(handler.requests.length, 1);
  });

  it("refuses streams above its limit", () => {
    const { send, handler } = bind(new ServerDialogue({ maxConcurrentStreams: 1 }));
    assert.deepEqual(send(get(1), get(3)), ["RST_STREAM 3 0x7"]);
    assert.equal(handler.requests.length, 1);
  });

  it("stays quiet about frames that crossed its own reset, and credits their bytes", () => {
    const { send, answer, handler } = bind(
      new ServerDialogue({ initialConnectionWindowBytes: 65535, initialStreamWindowBytes: 65535 }),
    );
    send(headers(1, POST, false));
    handler.last.stream.reset(makeStreamError("user", "stream", H2_ERROR.CANCEL, "gone"));
    assert.deepEqual(answer(), ["RST_STREAM 1 0x8"]);
    const half = Buffer.alloc(16384);
    assert.deepEqual(send(data(1, half, false), data(1, half, false), headers(1, [["a", "b"]], true)), [
      "WINDOW_UPDATE 0 32768",
    ]);
    assert.deepEqual(handler.last.events, ["head"]);
  });

  it("tells the handler why the peer reset a stream", () => {
    const { send, handler } = bind(new ServerDialogue());
    send(headers(1, POST, false), uint32(FRAME.RST_STREAM, 1, H2_ERROR.CANCEL));
    assert.equal(handler.last.events.at(-1), "reset peer stream CANCEL");
    assert.equal(handler.last.error?.isUnprocessed, false);
  });

  it("ends the connection with the last stream's number when framing breaks", () => {
    const { send, handler, host } = bind(new ServerDialogue());
    send(headers(1, POST, false));
    assert.deepEqual(send(data(0, "x", false)), ["GOAWAY 1 0x1"]);
    assert.ok(host.isClosed);
    assert.equal(handler.last.events.at(-1), "reset us connection PROTOCOL_ERROR");
    assert.deepEqual(send(get(3)), []);
  });

  it("drains in two steps: serves what crossed the first GOAWAY, refuses what comes after the second", () => {
    const { send, answer, handler, server, host } = bind(new ServerDialogue());
    send(get(1));
    server.drain();
    assert.deepEqual(answer(), ["GOAWAY 2147483647 0x0", "PING"]);
    send(get(3));
    assert.equal(handler.requests.length, 2);
    const pong = frame(FRAME.PING, 1, 0, Buffer.from([0, 0, 0, 0, 0, 0, 0, 2]));
    assert.deepEqual(send(pong), ["GOAWAY 3 0x0"]);
    assert.deepEqual(send(get(5)), ["RST_STREAM 5 0x7"]);
    for (const { stream } of handler.requests) stream?.sendHead(OK, true);
    assert.ok(host.isClosed);
    assert.equal(host.closeError, undefined);
  });

  it("names the last stream after a second when the peer does not answer the PING", () => {
    const dialogue = new ServerDialogue();
    dialogue.server.drain();
    dialogue.answer();
    dialogue.clock.advance(1000);
    assert.deepEqual(dialogue.answer(), ["GOAWAY 0 0x0"]);
    assert.ok(dialogue.host.isClosed);
  });

  it("answers what was asked before a half-close, then closes", () => {
    const { send, answer, handler, server, host } = bind(new ServerDialogue());
    send(get(1), headers(3, POST, false));
    server.receiveEnd();
    assert.equal(handler.requests[1]?.events.at(-1), "reset transport connection CANCEL");
    handler.requests[0]?.stream?.sendHead(OK, true);
    assert.deepEqual(answer(), ["RST_STREAM 3 0x8", "HEADERS 1 END"]);
    assert.ok(host.isClosed);
  });

  it("gives up a peer that never acknowledges SETTINGS, and one that answers no PING", () => {
    const dialogue = new ServerDialogue({
      keepaliveIntervalMs: 5000,
      keepaliveTimeoutMs: 1000,
      settingsTimeoutMs: 3000,
    });
    // Something was received in the first interval, nothing in the second.
    dialogue.clock.advance(5000);
    assert.deepEqual(dialogue.answer(), []);
    dialogue.clock.advance(5000);
    assert.deepEqual(dialogue.answer(), ["PING"]);
    dialogue.clock.advance(1000);
    assert.match(dialogue.host.closeError?.message ?? "", /keepalive/);

    const host = new MemoryHost();
    const clock = new FakeClock();
    const server = new Http2Server(host, new RecordingHandler(), makeSettings({ settingsTimeoutMs: 3000 }), clock);
    server.receive(Buffer.concat([PREFACE, settings()]), 0, PREFACE.length + 9);
    clock.advance(3000);
    assert.equal(host.closeError?.code, H2_ERROR.SETTINGS_TIMEOUT);
    assert.equal(clock.pendingTimers, 0);
  });

  it("refuses anything but the preface and SETTINGS first", () => {
    for (const bytes of [Buffer.from("GET / HTTP/1.1\r\n"), Buffer.concat([PREFACE, get(1)])]) {
      const host = new MemoryHost();
      const server = new Http2Server(host, new RecordingHandler(), makeSettings(), new FakeClock());
      server.receive(bytes, 0, bytes.length);
      assert.equal(host.closeError?.code, H2_ERROR.PROTOCOL_ERROR);
    }
  });

  it("decodes a block of CONTINUATIONs, and refuses other frames between them", () => {
    const { send, handler } = bind(new ServerDialogue());
    const block = plainBlock(GET);
    const pieces = [...block].map((octet) => Buffer.from([octet]));
    const frames = pieces.map((piece, i) =>
      frame(
        i === 0 ? FRAME.HEADERS : FRAME.CONTINUATION,
        (i === 0 ? 1 : 0) | (i === pieces.length - 1 ? 4 : 0),
        1,
        piece,
      ),
    );
    send(...frames);
    assert.deepEqual(handler.last.fields, GET);
    assert.deepEqual(send(frame(FRAME.HEADERS, 1, 3, block), settings()), ["GOAWAY 1 0x1"]);
  });
});

function bind(dialogue: ServerDialogue) {
  return {
    server: dialogue.server,
    host: dialogue.host,
    handler: dialogue.handler,
    send: (...frames: Buffer[]) => dialogue.send(...frames),
    answer: () => dialogue.answer(),
  };
}
