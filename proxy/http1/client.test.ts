// Dialogues with the HTTP/1 client codec over a connection in memory.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Client } from "./client.ts";
import { READ_HIGH_WATER } from "./host.ts";
import { Http1Server } from "./server.ts";
import { RecordingStream } from "./testing/recording-stream.ts";

const turn = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve));
const LOST = makeStreamError("transport", "connection", H2_ERROR.INTERNAL_ERROR, "reset by peer");

class Dialogue {
  readonly host = new MemoryHost();
  available = 0;
  retired = 0;
  peerClosed = 0;
  readonly codec = new Http1Client(this.host, {
    onAvailable: () => void this.available++,
    onRetired: () => void this.retired++,
    onPeerClosed: () => void this.peerClosed++,
  });
  recorded = new RecordingStream();

  open(method = "GET", end = true, ...fields: readonly (readonly [string, string])[]): HttpStream {
    this.recorded = new RecordingStream();
    const stream = this.codec.open(this.recorded);
    this.recorded.stream = stream;
    stream.sendHead(HeaderBlock.of([":method", method], [":authority", "shop"], [":path", "/a"], ...fields), end);
    return stream;
  }

  receive(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.codec.receive(bytes, 0, bytes.length);
    bytes.fill(0);
  }

  take(): string {
    return this.host.take().toString("latin1");
  }
}

describe("an HTTP/1 client connection", () => {
  it("writes the request line and Host, and is free again after the answer", async () => {
    const dialogue = new Dialogue();
    dialogue.open("GET", true, ["accept", "*/*"]);
    assert.equal(dialogue.take(), "GET /a HTTP/1.1\r\nHost: shop\r\naccept: */*\r\n\r\n");
    assert.equal(dialogue.codec.isAvailable, false);
    dialogue.receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=7, max=9\r\n\r\nhi");
    assert.equal(dialogue.recorded.body, "hi");
    assert.equal(dialogue.recorded.isEnded, true);
    await turn();
    assert.equal(dialogue.codec.isAvailable, true);
    assert.equal(dialogue.codec.keepAliveTimeoutMs, 7000);
    assert.equal(dialogue.available, 1);
    dialogue.open();
    assert.match(dialogue.take(), /^GET /);
  });

  it("gives the same answer wherever the bytes are cut", async () => {
    const text =
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "4\r\nwiki\r\n5\r\npedia\r\n0\r\ngrpc-status: 0\r\n\r\n";
    for (let cut = 0; cut < text.length; cut++) {
      const dialogue = new Dialogue();
      dialogue.open();
      dialogue.receive(text.slice(0, cut));
      dialogue.receive(text.slice(cut));
      assert.deepEqual(dialogue.recorded.informational, ["103"], `cut at ${cut}`);
      assert.equal(dialogue.recorded.body, "wikipedia", `cut at ${cut}`);
      assert.deepEqual(dialogue.recorded.trailers, [["grpc-status", "0"]], `cut at ${cut}`);
      await turn();
      assert.equal(dialogue.codec.isAvailable, true);
    }
  });

  it("joins the crumbs of a cookie, in the place of the first", () => {
    const dialogue = new Dialogue();
    dialogue.open("GET", true, ["cookie", "a=1"], ["accept", "*/*"], ["cookie", "b=2"], ["cookie", "c=3"]);
    assert.equal(dialogue.take(), "GET /a HTTP/1.1\r\nHost: shop\r\ncookie: a=1; b=2; c=3\r\naccept: */*\r\n\r\n");
    const single = new Dialogue();
    single.open("GET", true, ["cookie", "a=1"]);
    assert.equal(single.take(), "GET /a HTTP/1.1\r\nHost: shop\r\ncookie: a=1\r\n\r\n");
  });

  it("reads no body behind HEAD, 204 and 304", async () => {
    for (const [method, head] of [
      ["HEAD", "200 OK\r\nContent-Length: 9"],
      ["GET", "204 No Content"],
      ["GET", "304 Not Modified\r\nContent-Length: 9"],
    ]) {
      const dialogue = new Dialogue();
      dialogue.open(method);
      dialogue.receive(`HTTP/1.1 ${head}\r\n\r\n`);
      assert.deepEqual(dialogue.recorded.events, ["head end", "end"]);
      await turn();
      assert.equal(dialogue.codec.isAvailable, true);
    }
  });

  it("reads to the end of the connection where nothing else says how long", () => {
    const dialogue = new Dialogue();
    dialogue.open();
    dialogue.receive("HTTP/1.0 200 OK\r\n\r\nabc");
    assert.equal(dialogue.retired, 1);
    assert.equal(dialogue.recorded.isEnded, false);
    dialogue.codec.receiveEnd();
    assert.equal(dialogue.recorded.body, "abc");
    assert.equal(dialogue.recorded.isEnded, true);
    assert.equal(dialogue.recorded.error, undefined);
  });

  it("frames bodies by length or in chunks, and says when there is none", () => {
    const dialogue = new Dialogue();
    const stream = dialogue.open("POST", false);
    stream.sendData(Buffer.from("hello"), 0, 5, false);
    stream.sendTrailers(HeaderBlock.of(["x-sum", "1"]));
    assert.equal(
      dialogue.take(),
      "POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    const announced = new Dialogue();
    const known = announced.open("POST", false, ["content-length", "5"], ["trailer", "x-sum"]);
    known.sendData(Buffer.from("hello"), 0, 5, false);
    known.sendTrailers(HeaderBlock.of(["x-sum", "1"]));
    assert.equal(
      announced.take(),
      "POST /a HTTP/1.1\r\nHost: shop\r\ntrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
    );
    const empty = new Dialogue();
    empty.open("POST", true);
    assert.match(empty.take(), /\r\nContent-Length: 0\r\n\r\n$/);
  });

  it("is read for the next exchange although the last answer was not consumed when it ended", async () => {
    const dialogue = new Dialogue();
    const body = "x".repeat(2 * READ_HIGH_WATER);
    for (const cut of [body.length, READ_HIGH_WATER + 1]) {
      dialogue.open();
      dialogue.recorded.isConsuming = false;
      dialogue.receive(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, cut)}`);
      assert.equal(dialogue.host.isReading, cut === body.length);
      if (cut < body.length) dialogue.receive(body.slice(cut));
      assert.equal(dialogue.recorded.isEnded, true);
      await turn();
      assert.equal(dialogue.host.isReading, true, `cut at ${cut}`);
    }
  });

  it("never writes what would be read as another request", async () => {
    for (const fields of [
      [":path", "/a HTTP/1.1\r\nX: y"],
      [":path", "/a b"],
      [":path", "a"],
      [":authority", "a\r\nX: y"],
      [":method", "GE T"],
    ] as const) {
      const host = new MemoryHost();
      const client = new Http1Client(host, { onAvailable: () => undefined, onRetired: () => undefined });
      const recorded = new RecordingStream();
      const head = HeaderBlock.of([":method", "GET"], [":authority", "a"], [":path", "/"]);
      head.set(fields[0], fields[1]);
      client.open(recorded).sendHead(head, true);
      await turn();
      assert.equal(recorded.error?.status, 400);
      assert.equal(host.take().toString(), "");
    }
    const dialogue = new Dialogue();
    dialogue.open("GET", true, ["x-bad", "a\r\nX: y"], ["x y", "z"], ["x-good", "1"], ["transfer-encoding", "chunked"]);
    assert.equal(dialogue.take(), "GET /a HTTP/1.1\r\nHost: shop\r\nx-good: 1\r\n\r\n");
  });

  it("says that a request is unprocessed only while nothing of it has left", () => {
    const unsent = new Dialogue();
    unsent.open();
    unsent.codec.connectionLost(LOST);
    assert.equal(unsent.recorded.error?.isUnprocessed, true);
    const sent = new Dialogue();
    sent.open();
    sent.take();
    sent.codec.connectionLost(LOST);
    assert.equal(sent.recorded.error?.isUnprocessed, false);
    const partly = new Dialogue();
    const stream = partly.open("POST", false);
    partly.take();
    stream.sendData(Buffer.alloc(5000), 0, 5000, true);
    partly.codec.connectionLost(LOST);
    assert.equal(partly.recorded.error?.isUnprocessed, false);
  });

  it("does not call a request unprocessed of which only the end lies unflushed", () => {
    for (let length = 81_700; length < 81_900; length++) {
      const dialogue = new Dialogue();
      dialogue.open("POST", false).sendData(Buffer.alloc(length), 0, length, true);
      if (dialogue.host.out.bytesFlushed === 0) continue;
      dialogue.codec.receiveEnd();
      assert.equal(dialogue.recorded.error?.isUnprocessed, false, `a body of ${length} bytes`);
    }
  });

  it("takes an unsent request back when the server's FIN comes first", () => {
    const dialogue = new Dialogue();
    dialogue.open();
    dialogue.codec.receiveEnd();
    assert.equal(dialogue.recorded.error?.isUnprocessed, true);
    assert.equal(dialogue.take(), "");
    assert.equal(dialogue.host.isClosed, true);
  });

  it("retires on Connection: close, on FIN, and on bytes that nobody asked for", async () => {
    const closing = new Dialogue();
    closing.open();
    closing.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    await turn();
    assert.deepEqual([closing.retired, closing.host.isClosed], [1, true]);
    const ended = new Dialogue();
    ended.codec.receiveEnd();
    assert.deepEqual([ended.retired, ended.host.isClosed], [1, true]);
    const garbage = new Dialogue();
    garbage.open();
    garbage.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
    await turn();
    assert.equal(garbage.recorded.error, undefined);
    assert.deepEqual([garbage.codec.isAvailable, garbage.host.isClosed], [false, true]);
  });

  it("fails an answer that ends too soon", () => {
    const dialogue = new Dialogue();
    dialogue.open();
    dialogue.receive("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
    dialogue.codec.receiveEnd();
    assert.match(dialogue.recorded.error?.message ?? "", /in the middle of its answer/);
  });

  it("sends tunnel bytes only after the server agreed", () => {
    const dialogue = new Dialogue();
    const stream = dialogue.open("GET", false, ["connection", "upgrade"], ["upgrade", "websocket"]);
    assert.match(
      dialogue.take(),
      /Sec-WebSocket-Key: .{24}\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$/,
    );
    assert.equal(stream.sendData(Buffer.from("early"), 0, 5, false), false);
    assert.equal(dialogue.take(), "");
    dialogue.receive("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
    assert.equal(dialogue.recorded.head?.get(":status"), "101");
    assert.equal(dialogue.recorded.body, "hello");
    assert.equal(dialogue.take(), "early");
    dialogue.codec.receiveEnd();
    assert.equal(dialogue.recorded.isEnded, true);
    stream.sendData(Buffer.from("bye"), 0, 3, true);
    assert.equal(dialogue.take(), "bye");
    assert.equal(dialogue.host.isClosed, true);
  });

  it("keeps the letters of names from one HTTP/1 side to the other", () => {
    const upstream = new Dialogue();
    const host = new MemoryHost();
    const server = new Http1Server(host, {
      onStream: () => ({
        onHead(head, end) {
          upstream.recorded = new RecordingStream();
          upstream.codec.open(upstream.recorded).sendHead(head, end);
        },
        onInformational: () => undefined,
        onData: () => undefined,
        onTrailers: () => undefined,
        onReset: () => undefined,
        onDrain: () => undefined,
      }),
    });
    const text = "GET /x HTTP/1.1\r\nHost: a\r\nX-ODD-Case: 1\r\nAccept:*/*\r\nuser-agent: t\r\n\r\n";
    server.receive(Buffer.from(text), 0, text.length);
    assert.equal(
      upstream.take(),
      "GET /x HTTP/1.1\r\nHost: a\r\nX-ODD-Case: 1\r\nAccept: */*\r\nuser-agent: t\r\n\r\n",
    );
  });
});

describe("the end of an HTTP/1 connection by its server", () => {
  function answered(keepAlive = ""): Dialogue {
    const dialogue = new Dialogue();
    dialogue.open();
    dialogue.take();
    dialogue.receive(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${keepAlive}\r\n`);
    return dialogue;
  }

  it("is told where it comes unasked: idle, or before any answer, by FIN or RST", async () => {
    for (const isRunning of [false, true]) {
      for (const isFin of [false, true]) {
        const dialogue = answered();
        await turn();
        if (isRunning) dialogue.open();
        if (isFin) dialogue.codec.receiveEnd();
        else dialogue.codec.connectionLost(LOST);
        assert.equal(dialogue.peerClosed, 1);
        assert.equal(dialogue.retired, 1);
      }
    }
  });

  it("is not told where it was announced, comes within an answer, or is our own doing", async () => {
    const announced = answered("Connection: close\r\n");
    await turn();
    announced.codec.receiveEnd();
    const within = new Dialogue();
    within.open();
    within.receive("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab");
    within.codec.receiveEnd();
    const drained = answered();
    await turn();
    drained.codec.drain();
    drained.codec.receiveEnd();
    for (const { peerClosed } of [announced, within, drained]) assert.equal(peerClosed, 0);
  });

  it("comes after as many requests as Keep-Alive said, a total or what is left", async () => {
    for (const values of [
      [2, 2],
      [2, 1],
    ]) {
      const dialogue = new Dialogue();
      for (const max of values) {
        assert.equal(dialogue.codec.isAvailable, true);
        dialogue.open();
        dialogue.receive(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: timeout=5, max=${max}\r\n\r\n`);
        await turn();
      }
      assert.equal(dialogue.retired, 1);
      assert.equal(dialogue.host.isClosed, true);
    }
  });
});
