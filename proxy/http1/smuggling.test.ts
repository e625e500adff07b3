// Requests and answers that two parsers could read differently: each is refused, and the connection ends with it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Client } from "./client.ts";
import { Http1Server } from "./server.ts";
import { RecordingServer, RecordingStream } from "./testing/recording-stream.ts";

const H = "Host: a\r\n";
const TE = "Transfer-Encoding: chunked\r\n";

/** Name, text, status. */
const REQUESTS: readonly (readonly [string, string, number])[] = [
  ["two lengths", `POST / HTTP/1.1\r\n${H}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
  ["two equal lengths", `POST / HTTP/1.1\r\n${H}Content-Length: 1\r\nContent-Length: 1\r\n\r\na`, 400],
  ["a list of lengths", `POST / HTTP/1.1\r\n${H}Content-Length: 1, 1\r\n\r\na`, 400],
  ["a signed length", `POST / HTTP/1.1\r\n${H}Content-Length: +1\r\n\r\na`, 400],
  ["a hexadecimal length", `POST / HTTP/1.1\r\n${H}Content-Length: 0x1\r\n\r\na`, 400],
  ["an empty length", `POST / HTTP/1.1\r\n${H}Content-Length: \r\n\r\n`, 400],
  ["a length beyond all measure", `POST / HTTP/1.1\r\n${H}Content-Length: 99999999999999999999\r\n\r\n`, 400],
  ["length and chunks", `POST / HTTP/1.1\r\n${H}Content-Length: 4\r\n${TE}\r\n0\r\n\r\n`, 400],
  ["chunks and length", `POST / HTTP/1.1\r\n${H}${TE}Content-Length: 4\r\n\r\n0\r\n\r\n`, 400],
  ["two codings", `POST / HTTP/1.1\r\n${H}${TE}${TE}\r\n0\r\n\r\n`, 400],
  ["chunked twice", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  ["chunked not last", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, gzip\r\n\r\n`, 400],
  ["identity", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: identity\r\n\r\n`, 400],
  ["a look-alike coding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n`, 400],
  ["a quoted coding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: "chunked"\r\n\r\n`, 400],
  ["an unknown coding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
  ["a no-break space in the coding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: \xa0chunked\r\n\r\n`, 400],
  [
    "Connection that names the length",
    `POST / HTTP/1.1\r\n${H}Connection: close, content-length\r\nContent-Length: 1\r\n\r\na`,
    400,
  ],
  [
    "Connection that names the coding",
    `POST / HTTP/1.1\r\n${H}Connection: Transfer-Encoding\r\n${TE}\r\n0\r\n\r\n`,
    400,
  ],
  ["Connection that names the host", `GET / HTTP/1.1\r\n${H}Connection: host\r\n\r\n`, 400],
  ["a vertical tab in the coding", `POST / HTTP/1.1\r\n${H}Transfer-Encoding: \x0bchunked\r\n\r\n`, 400],
  ["chunks in HTTP/1.0", `POST / HTTP/1.0\r\n${H}${TE}\r\n0\r\n\r\n`, 400],
  ["a space before the colon", `POST / HTTP/1.1\r\n${H}Content-Length : 4\r\n\r\n`, 400],
  ["a tab before the colon", `POST / HTTP/1.1\r\n${H}Transfer-Encoding\t: chunked\r\n\r\n`, 400],
  ["a folded line", `GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 400],
  ["a folded first line", `GET / HTTP/1.1\r\n X: a\r\n${H}\r\n`, 400],
  ["a bare LF behind the request line", `GET / HTTP/1.1\n${H}\r\n`, 400],
  ["a bare LF in the head", `GET / HTTP/1.1\r\nHost: a\n\r\n`, 400],
  ["a bare CR in a value", `GET / HTTP/1.1\r\n${H}X: a\rb\r\n\r\n`, 400],
  ["a NUL in a value", `GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, 400],
  ["a control byte in a name", `GET / HTTP/1.1\r\n${H}X\x01: a\r\n\r\n`, 400],
  ["an empty name", `GET / HTTP/1.1\r\n${H}: a\r\n\r\n`, 400],
  ["a line without a colon", `GET / HTTP/1.1\r\n${H}X\r\n\r\n`, 400],
  ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two hosts", `GET / HTTP/1.1\r\n${H}${H}\r\n`, 400],
  ["a host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["a host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400],
  ["a WebSocket without a key", `GET / HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n`, 400],
  ["two spaces in the request line", `GET  / HTTP/1.1\r\n${H}\r\n`, 400],
  ["a tab in the request line", `GET\t/ HTTP/1.1\r\n${H}\r\n`, 400],
  ["a space in the target", `GET /a b HTTP/1.1\r\n${H}\r\n`, 400],
  ["a fragment in the target", `GET /a#b HTTP/1.1\r\n${H}\r\n`, 400],
  ["HTTP/0.9", "GET /\r\n", 400],
  ["HTTP/1.2", `GET / HTTP/1.2\r\n${H}\r\n`, 400],
  ["HTTP/2.0", `GET / HTTP/2.0\r\n${H}\r\n`, 400],
  ["a lower-case version", `GET / http/1.1\r\n${H}\r\n`, 400],
  ["something behind the version", `GET / HTTP/1.1 x\r\n${H}\r\n`, 400],
  ["an expectation that nobody knows", `GET / HTTP/1.1\r\n${H}Expect: wonders\r\n\r\n`, 417],
  ["* with GET", `GET * HTTP/1.1\r\n${H}\r\n`, 400],
  ["CONNECT with a path", `CONNECT /a HTTP/1.1\r\n${H}\r\n`, 400],
  ["CONNECT with a body", `CONNECT a:1 HTTP/1.1\r\n${H}Content-Length: 5\r\n\r\n`, 400],
  ["too many fields", `GET / HTTP/1.1\r\n${H}${"A: b\r\n".repeat(101)}\r\n`, 431],
  ["too large a head", `GET / HTTP/1.1\r\n${H}A: ${"b".repeat(62_000)}\r\n\r\n`, 431],
  ["too large a head without an end", `GET / HTTP/1.1\r\n${H}A: ${"b".repeat(62_000)}`, 431],
  ["a TLS ClientHello", "\x16\x03\x01\x02\x00\x01\x00", 400],
];

const CHUNKS: readonly (readonly [string, string])[] = [
  ["no size", "\r\n0\r\n\r\n"],
  ["a size in front of a space", "5 \r\nhello\r\n0\r\n\r\n"],
  ["a space in front of the size", " 5\r\nhello\r\n0\r\n\r\n"],
  ["0x", "0x5\r\nhello\r\n0\r\n\r\n"],
  ["a negative size", "-1\r\n"],
  ["a size that overflows", "fffffffffffffffff\r\n"],
  ["a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"],
  ["a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"],
  ["a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"],
  ["data longer than the size", "5\r\nhello!\r\n0\r\n\r\n"],
  ["a bare LF behind data", "5\r\nhello\n0\r\n\r\n"],
  ["extensions without end", `5;${"a".repeat(20_000)}\r\nhello\r\n0\r\n\r\n`],
  ["a space in a trailer's name", "0\r\nX : y\r\n\r\n"],
  ["a bare LF in trailers", "0\r\nX: y\n\r\n"],
];

function serve(text: string, cut = text.length): { host: MemoryHost; server: RecordingServer; reply: string } {
  const host = new MemoryHost();
  const server = new RecordingServer();
  const codec = new Http1Server(host, server);
  for (const part of [text.slice(0, cut), text.slice(cut)]) {
    const bytes = Buffer.from(part, "latin1");
    codec.receive(bytes, 0, bytes.length);
  }
  return { host, server, reply: host.take().toString("latin1") };
}

describe("a request is refused with", () => {
  for (const [name, text, status] of REQUESTS) {
    it(name, () => {
      for (const cut of [text.length, text.length >> 1, 3]) {
        const { host, server, reply } = serve(text, cut);
        assert.equal(server.streams.length, 0, "it reached a handler");
        assert.match(reply, new RegExp(`^HTTP/1\\.1 ${status} .*\r\nConnection: close\r\n\r\n`, "s"), `cut at ${cut}`);
        assert.equal(host.isClosed, true);
        assert.equal(host.closeError?.status, status);
      }
    });
  }
});

describe("a chunked body is refused with", () => {
  for (const [name, body] of CHUNKS) {
    it(name, () => {
      const head = `POST / HTTP/1.1\r\n${H}${TE}\r\n`;
      for (const cut of [head.length + body.length, head.length, head.length + 2]) {
        const { host, server, reply } = serve(head + body, cut);
        assert.match(reply, /^HTTP\/1\.1 400 /);
        assert.equal(server.streams[0]?.isEnded, false);
        assert.equal(server.streams[0]?.error?.status, 400);
        assert.equal(host.isClosed, true);
      }
    });
  }
});

describe("an answer is refused with", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
    ["length and chunks", `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n${TE}\r\n`],
    ["chunks in HTTP/1.0", `HTTP/1.0 200 OK\r\n${TE}\r\n`],
    ["a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
    ["a folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"],
    ["101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["another protocol", "SSH-2.0-OpenSSH\r\n\r\n"],
  ];
  for (const [name, text] of cases) {
    it(name, () => {
      const host = new MemoryHost();
      const client = new Http1Client(host, { onAvailable: () => undefined, onRetired: () => undefined });
      const recorded = new RecordingStream();
      client.open(recorded).sendHead(HeaderBlock.of([":method", "GET"], [":authority", "a"], [":path", "/"]), true);
      const bytes = Buffer.from(text);
      client.receive(bytes, 0, bytes.length);
      assert.equal(recorded.head, undefined);
      assert.equal(recorded.error?.origin, "us");
      assert.equal(recorded.error?.isUnprocessed, false);
      assert.equal(host.isClosed, true);
    });
  }
});

describe("whatever comes", () => {
  it("never makes the server or the client throw", () => {
    const word = fc.constantFrom(
      "GET / HTTP/1.1\r\n",
      H,
      TE,
      "Content-Length: 3\r\n",
      "\r\n",
      "5\r\nhello\r\n",
      "0\r\n\r\n",
      "HTTP/1.1 200 OK\r\n",
    );
    const noise = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    fc.assert(
      fc.property(fc.array(fc.oneof(word, noise), { maxLength: 12 }), fc.nat(), (parts, cut) => {
        const text = parts.join("");
        serve(text, text.length === 0 ? 0 : cut % text.length);
        const client = new Http1Client(new MemoryHost(), { onAvailable: () => undefined, onRetired: () => undefined });
        client
          .open(new RecordingStream())
          .sendHead(HeaderBlock.of([":method", "GET"], [":authority", "a"], [":path", "/"]), true);
        const bytes = Buffer.from(text, "latin1");
        client.receive(bytes, 0, bytes.length);
        client.receiveEnd();
      }),
      { numRuns: 300 },
    );
  });

  it("what the client writes is what the server reads", () => {
    const name = fc.stringMatching(/^x-[a-z0-9]{1,12}$/);
    const value = fc.stringMatching(/^[!-~]([ -~]{0,20}[!-~])?$/);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, value), { maxLength: 10 }),
        fc.stringMatching(/^\/[a-z?=&/]{0,20}$/),
        fc.stringMatching(/^[a-z\r\n]{0,40}$/),
        (fields, path, body) => {
          const host = new MemoryHost();
          const client = new Http1Client(host, { onAvailable: () => undefined, onRetired: () => undefined });
          const head = HeaderBlock.of(
            [":method", "POST"],
            [":scheme", "http"],
            [":authority", "a:1"],
            [":path", path],
            ...fields,
          );
          const stream = client.open(new RecordingStream());
          stream.sendHead(head, false);
          const bytes = Buffer.from(body);
          stream.sendData(bytes, 0, bytes.length, true);
          const { server } = serve(host.take().toString("latin1"));
          assert.deepEqual(server.streams[0]?.fields, [
            [":method", "POST"],
            [":scheme", "http"],
            [":authority", "a:1"],
            [":path", path],
            ...fields,
          ]);
          assert.equal(server.streams[0]?.body, body);
          assert.equal(server.streams[0]?.isEnded, true);
        },
      ),
    );
  });
});
