// Dialogues with the HTTP/1 server codec over a connection in memory.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Server } from "./server.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import { RecordingServer, type RecordingStream } from "./testing/recording-stream.ts";

const turn = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve));

class Dialogue {
  readonly host = new MemoryHost();
  readonly server: RecordingServer;
  readonly codec: Http1Server;

  constructor(
    answer?: (recorded: RecordingStream, stream: HttpStream) => void,
    options: Partial<Http1ServerOptions> = {},
  ) {
    this.server = new RecordingServer(answer);
    this.codec = new Http1Server(this.host, this.server, options);
  }

  send(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.codec.receive(bytes, 0, bytes.length);
    bytes.fill(0);
  }

  get last(): RecordingStream {
    const stream = this.server.streams.at(-1);
    assert.ok(stream, "no request came");
    return stream;
  }

  take(): string {
    return this.host.take().toString("latin1");
  }
}

function ok(body = ""): (recorded: RecordingStream, stream: HttpStream) => void {
  return (_recorded, stream) => {
    const bytes = Buffer.from(body);
    stream.sendHead(HeaderBlock.of([":status", "200"], ["content-length", String(bytes.length)]), bytes.length === 0);
    if (bytes.length > 0) stream.sendData(bytes, 0, bytes.length, true);
  };
}

const OK_EMPTY = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

describe("an HTTP/1 server connection", () => {
  it("turns a request line and fields into a block with pseudo-fields first", () => {
    const dialogue = new Dialogue();
    dialogue.send("GET /a?b=c HTTP/1.1\r\nHost: shop:80\r\nX-Custom:  v 1 \r\naccept: */*\r\n\r\n");
    assert.deepEqual(dialogue.last.fields, [
      [":method", "GET"],
      [":scheme", "http"],
      [":authority", "shop:80"],
      [":path", "/a?b=c"],
      ["x-custom", "v 1"],
      ["accept", "*/*"],
    ]);
    assert.deepEqual([dialogue.last.head?.rawNameAt(4), dialogue.last.head?.rawNameAt(5)], ["X-Custom", "accept"]);
    assert.deepEqual(dialogue.last.events, ["head end", "end"]);
  });

  it("gives the same request wherever the bytes are cut", () => {
    const text =
      "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n" +
      "5;ext=1\r\nhello\r\n7\r\n, world\r\n0\r\nx-sum: 12\r\n\r\n";
    for (let cut = 1; cut < text.length; cut++) {
      const dialogue = new Dialogue(ok());
      dialogue.send(text.slice(0, cut));
      dialogue.send(text.slice(cut));
      assert.equal(dialogue.last.body, "hello, world", `cut at ${cut}`);
      assert.deepEqual(dialogue.last.trailers, [["x-sum", "12"]], `cut at ${cut}`);
      assert.equal(dialogue.take(), OK_EMPTY, `cut at ${cut}`);
    }
    const dialogue = new Dialogue(ok());
    for (const byte of text) dialogue.send(byte);
    assert.equal(dialogue.last.body, "hello, world");
    assert.deepEqual(dialogue.last.head?.get("te"), "trailers");
  });

  it("merges the end of chunks into the last data", () => {
    const dialogue = new Dialogue();
    dialogue.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    assert.equal(dialogue.last.body, "abc");
    assert.equal(dialogue.last.isEnded, true);
  });

  it("answers pipelined requests in order, each after the one before", async () => {
    const waiting: HttpStream[] = [];
    const dialogue = new Dialogue((_recorded, stream) => waiting.push(stream));
    dialogue.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert.equal(dialogue.server.streams.length, 1);
    for (let i = 0; i < 3; i++) {
      waiting[i]?.sendHead(HeaderBlock.of([":status", String(200 + i)]), true);
      await turn();
    }
    assert.deepEqual(
      dialogue.server.streams.map((stream) => stream.head?.get(":path")),
      ["/1", "/2", "/3"],
    );
    assert.match(dialogue.take(), /^HTTP\/1\.1 200 .*HTTP\/1\.1 201 .*HTTP\/1\.1 202 /s);
  });

  it("strips what belongs to the hop and what Connection names", () => {
    const dialogue = new Dialogue();
    dialogue.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n" +
        "Proxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Kept: 2\r\n\r\n",
    );
    assert.deepEqual(
      dialogue.last.fields.map(([name]) => name),
      [":method", ":scheme", ":authority", ":path", "x-kept"],
    );
  });

  it("takes the authority from an absolute target, and sends OPTIONS * on", () => {
    const dialogue = new Dialogue(ok());
    dialogue.send("GET http://real:81/x HTTP/1.1\r\nHost: other\r\n\r\n");
    assert.equal(dialogue.last.head?.get(":authority"), "real:81");
    assert.equal(dialogue.last.head?.get(":path"), "/x");
    dialogue.send("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.last.head?.get(":path"), "*");
    dialogue.send("GET http://real HTTP/1.1\r\nHost: other\r\n\r\n");
    assert.equal(dialogue.last.head?.get(":path"), "/");
  });

  it("chunks an answer without a length, with trailers only for who accepts them", () => {
    for (const te of ["TE: trailers\r\nConnection: TE\r\n", ""]) {
      const dialogue = new Dialogue((_recorded, stream) => {
        stream.sendHead(HeaderBlock.of([":status", "200"]), false);
        stream.sendData(Buffer.from("abc"), 0, 3, false);
        stream.sendTrailers(HeaderBlock.of(["grpc-status", "0"]));
      });
      dialogue.send(`GET / HTTP/1.1\r\nHost: a\r\n${te}\r\n`);
      const trailer = te === "" ? "" : "grpc-status: 0\r\n";
      assert.equal(
        dialogue.take(),
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${trailer}\r\n`,
      );
      assert.equal(dialogue.host.isClosed, false);
    }
  });

  it("chunks an answer of known length whose trailers were announced and asked for", () => {
    for (const [te, framing] of [
      ["TE: trailers\r\nConnection: TE\r\n", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"],
      ["", "content-length: 3\r\n\r\nabc"],
    ] as const) {
      const dialogue = new Dialogue((_recorded, stream) => {
        stream.sendHead(HeaderBlock.of([":status", "200"], ["trailer", "x-sum"], ["content-length", "3"]), false);
        stream.sendData(Buffer.from("abc"), 0, 3, false);
        stream.sendTrailers(HeaderBlock.of(["x-sum", "1"]));
      });
      dialogue.send(`GET / HTTP/1.1\r\nHost: a\r\n${te}\r\n`);
      assert.equal(dialogue.take(), `HTTP/1.1 200 OK\r\ntrailer: x-sum\r\n${framing}`);
    }
  });

  it("says how long it keeps an idle connection, unless it closes", () => {
    const answer = (_recorded: RecordingStream, stream: HttpStream): void =>
      stream.sendHead(HeaderBlock.of([":status", "204"]), true);
    const dialogue = new Dialogue(answer, { keepAlive: "timeout=5" });
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.take(), "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n");
    dialogue.codec.retire();
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.take(), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  });

  it("serves HTTP/1.0: until close without a length, kept alive when asked", () => {
    const dialogue = new Dialogue((_recorded, stream) => {
      stream.sendHead(HeaderBlock.of([":status", "200"]), false);
      stream.sendData(Buffer.from("abc"), 0, 3, true);
    });
    dialogue.send("GET / HTTP/1.0\r\n\r\n");
    assert.equal(dialogue.take(), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
    assert.equal(dialogue.host.isClosed, true);
    const kept = new Dialogue(ok("hi"));
    kept.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert.equal(kept.take(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: keep-alive\r\n\r\nhi");
    assert.equal(kept.host.isClosed, false);
  });

  it("sends no body to HEAD and with 304, but their length", () => {
    const dialogue = new Dialogue((recorded, stream) => {
      const status = recorded.head?.get(":path") === "/304" ? "304" : "200";
      stream.sendHead(HeaderBlock.of([":status", status], ["content-length", "10"]), true);
    });
    dialogue.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.take(), "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
    dialogue.send("GET /304 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.take(), "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n");
  });

  it("passes Expect on and 100 back; closes when the answer came without it", () => {
    const dialogue = new Dialogue(ok());
    dialogue.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert.equal(dialogue.last.head?.get("expect"), "100-continue");
    dialogue.last.stream?.sendInformational(HeaderBlock.of([":status", "100"]));
    assert.equal(dialogue.take(), "HTTP/1.1 100 Continue\r\n\r\n");
    dialogue.send("ab");
    assert.equal(dialogue.take(), OK_EMPTY);
    const refused = new Dialogue();
    refused.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    refused.last.stream?.sendHead(HeaderBlock.of([":status", "413"]), true);
    assert.match(refused.take(), /^HTTP\/1\.1 413 .*Connection: close\r\n\r\n$/s);
    assert.equal(refused.host.isClosed, true);
  });

  it("switches to a WebSocket and closes each way on its own", async () => {
    const dialogue = new Dialogue();
    dialogue.send(
      "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly",
    );
    const { last } = dialogue;
    assert.equal(last.head?.get("upgrade"), "websocket");
    assert.equal(last.isEnded, false);
    last.stream?.sendHead(HeaderBlock.of([":status", "101"]), false);
    assert.match(dialogue.take(), /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\nConnection: Upgrade\r\n/);
    await turn();
    assert.equal(last.body, "early");
    dialogue.send("more");
    dialogue.codec.receiveEnd();
    assert.equal(last.body, "earlymore");
    assert.equal(last.isEnded, true);
    assert.equal(dialogue.host.isClosed, false);
    last.stream?.sendData(Buffer.from("bye"), 0, 3, true);
    assert.equal(dialogue.take(), "bye");
    assert.equal(dialogue.host.isClosed, true);
  });

  it("closes when a refused tunnel left bytes that could be taken for a request", async () => {
    const dialogue = new Dialogue();
    dialogue.send("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.deepEqual(dialogue.last.fields, [
      [":method", "CONNECT"],
      [":authority", "db:5432"],
    ]);
    dialogue.last.stream?.sendHead(HeaderBlock.of([":status", "403"]), true);
    await turn();
    assert.equal(dialogue.server.streams.length, 1);
    assert.equal(dialogue.host.isClosed, true);
  });

  it("keeps the connection when an upgrade is refused and nothing was sent ahead", async () => {
    const dialogue = new Dialogue();
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: custom\r\n\r\n");
    dialogue.last.stream?.sendHead(HeaderBlock.of([":status", "404"]), true);
    await turn();
    dialogue.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.last.head?.get(":path"), "/next");
  });

  it("stops reading when nobody consumes, and goes on when somebody does", () => {
    const dialogue = new Dialogue();
    dialogue.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    dialogue.last.isConsuming = false;
    dialogue.send("x".repeat(70_000));
    assert.equal(dialogue.host.isReading, false);
    dialogue.last.stream?.consumed(60_000);
    assert.equal(dialogue.host.isReading, true);
  });

  it("says false above the buffer limit and drains later", () => {
    const dialogue = new Dialogue(undefined, { bufferLimitBytes: 1000 });
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    dialogue.last.stream?.sendHead(HeaderBlock.of([":status", "200"]), false);
    dialogue.host.out.pendingBytes = 2000;
    assert.equal(dialogue.last.stream?.sendData(Buffer.alloc(10), 0, 10, false), false);
    dialogue.codec.onSocketDrain();
    assert.equal(dialogue.last.drains, 1);
  });

  it("drains with Connection: close on the running answer, or at once when idle", () => {
    const dialogue = new Dialogue();
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    dialogue.codec.drain();
    assert.equal(dialogue.host.isClosed, false);
    dialogue.last.stream?.sendHead(HeaderBlock.of([":status", "200"]), true);
    assert.match(dialogue.take(), /Connection: close\r\n\r\n$/);
    assert.equal(dialogue.host.isClosed, true);
    const idle = new Dialogue();
    idle.codec.drain();
    assert.equal(idle.host.isClosed, true);
  });

  it("cuts the connection when a body does not keep its length", () => {
    const dialogue = new Dialogue();
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    dialogue.last.stream?.sendHead(HeaderBlock.of([":status", "200"], ["content-length", "5"]), false);
    dialogue.last.stream?.sendData(Buffer.from("abc"), 0, 3, true);
    assert.equal(dialogue.host.isClosed, true);
    assert.match(dialogue.host.closeError?.message ?? "", /shorter than its content-length/);
  });

  it("resets the stream when the client leaves in the middle of its request", () => {
    const dialogue = new Dialogue();
    dialogue.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    dialogue.codec.receiveEnd();
    assert.equal(dialogue.last.error?.origin, "peer");
    assert.equal(dialogue.host.isClosed, true);
  });

  it("takes a client that closes before its answer for one that has left, also where it asked for a tunnel", () => {
    for (const head of [
      "GET / HTTP/1.1\r\nHost: a\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n",
    ]) {
      const dialogue = new Dialogue();
      dialogue.send(`${head}\r\n`);
      dialogue.codec.receiveEnd();
      assert.equal(dialogue.last.error?.code, H2_ERROR.CANCEL);
      assert.equal(dialogue.host.isClosed, true);
    }
  });

  it("keeps the connection after an early answer when the rest of the request is small", () => {
    const dialogue = new Dialogue();
    dialogue.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    const { last } = dialogue;
    last.stream?.sendHead(HeaderBlock.of([":status", "429"]), true);
    last.stream?.reset(makeStreamError("user", "stream", H2_ERROR.NO_ERROR, "early"));
    dialogue.send("cdeGET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert.equal(dialogue.last.head?.get(":path"), "/next");
    assert.equal(last.body, "ab");
  });

  it("resets what runs when the connection is lost", () => {
    const dialogue = new Dialogue();
    dialogue.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    dialogue.codec.connectionLost(makeStreamError("transport", "connection", H2_ERROR.CANCEL, "gone"));
    assert.equal(dialogue.last.error?.message, "gone");
    assert.equal(dialogue.codec.activeStreams, 0);
  });
});
