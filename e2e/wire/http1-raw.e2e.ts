// HTTP/1 octet by octet: what no client library would send, or would show, to one sidecar and to two.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { it } from "node:test";

import { type Handler, readAll, startBridges } from "./bridge.ts";
import { startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

interface Dialogue {
  readonly name: string;
  /** Written at once, `\n` for CRLF. */
  readonly send: string;
  /** Default: `METHOD URL BODY`, the body in its length. */
  readonly app?: Handler;
  /** Of all that the client has got when the connection is closed. */
  readonly check: (got: string) => void;
}

const say: Handler = (request, response) =>
  void readAll(request).then((body) => response.end(`${request.method} ${request.url} ${body.toString()}`));

function statuses(got: string): string[] {
  return [...got.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status = ""]) => status);
}

const DIALOGUES: readonly Dialogue[] = [
  {
    name: "pipelined requests are answered in order, though the first is slow",
    send:
      "GET /slow HTTP/1.1\nHost: a\n\nPOST /2 HTTP/1.1\nHost: a\nContent-Length: 2\n\nhi" +
      "GET /3 HTTP/1.1\nHost: a\nConnection: close\n\n",
    app: (request, response) =>
      void readAll(request).then(() => setTimeout(() => response.end(request.url), request.url === "/slow" ? 50 : 0)),
    check(got) {
      assert.deepEqual(statuses(got), ["200", "200", "200"]);
      const places = ["/slow", "/2", "/3"].map((url) => got.indexOf(url));
      assert.deepEqual(
        places,
        [...places].sort((a, b) => a - b),
      );
      assert.ok(!places.includes(-1));
    },
  },
  {
    name: "chunks with extensions and trailers",
    send:
      "POST /chunks HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-Sum\nConnection: close\n\n" +
      '3;name=value;quoted="a;b"\nabc\n0002;x\nde\n0;last\nX-Sum: 5\n\n',
    app: (request, response) =>
      void readAll(request).then((body) => response.end(`${body.toString()} ${String(request.trailers["x-sum"])}`)),
    check: (got) => assert.match(got, /abcde 5/),
  },
  {
    name: "an HTTP/1.0 client gets no chunks, and the end of the connection as the end",
    send: "GET /old HTTP/1.0\n\n",
    app(request, response) {
      // It names no host: then it is for the address that it was sent to.
      assert.match(request.headers.host ?? String(request.headers[":authority"]), /^127\.0\.0\.1:\d+$/);
      response.write("part ");
      response.end("whole");
    },
    check(got) {
      assert.deepEqual(statuses(got), ["200"]);
      assert.doesNotMatch(got, /transfer-encoding/i);
      assert.match(got, /connection: close/i);
      assert.match(got, /\r\n\r\npart whole$/);
    },
  },
  {
    name: "an HTTP/1.0 client that asks for it is kept",
    send: "GET /1 HTTP/1.0\nHost: a\nConnection: keep-alive\n\nGET /2 HTTP/1.0\nHost: a\n\n",
    app: (request, response) => void response.writeHead(200, { "content-length": "2" }).end(request.url),
    check(got) {
      assert.deepEqual(statuses(got), ["200", "200"]);
      assert.match(got, /connection: keep-alive/i);
    },
  },
  {
    name: "an absolute target says the host",
    send: "GET http://shop.example:81/a?b HTTP/1.1\nHost: other\nConnection: close\n\n",
    app: (request, response) =>
      void response.end(`${request.url} at ${request.headers.host ?? String(request.headers[":authority"])}`),
    check: (got) => assert.match(got, /\/a\?b at shop\.example:81/),
  },
  {
    name: "a folded line is refused, and the connection closed",
    send: "GET / HTTP/1.1\nHost: a\nX-Long: one\n two\n\nGET /2 HTTP/1.1\nHost: a\n\n",
    check: (got) => assert.deepEqual(statuses(got), ["400"]),
  },
  {
    name: "two lengths, and a length beside chunks, are refused",
    send: "POST / HTTP/1.1\nHost: a\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n",
    check: (got) => assert.deepEqual(statuses(got), ["400"]),
  },
  {
    name: "a value of a megabyte is refused as too large",
    send: `GET / HTTP/1.1\nHost: a\nX-Large: ${"v".repeat(1024 * 1024)}\n\n`,
    check: (got) => assert.deepEqual(statuses(got), ["431"]),
  },
  {
    name: "more fields than are allowed are refused as too large",
    send: `GET / HTTP/1.1\nHost: a\n${"X-Many: 1\n".repeat(200)}\n`,
    check: (got) => assert.deepEqual(statuses(got), ["431"]),
  },
  {
    name: "CONNECT is refused where it is not allowed, and what came behind it is no request",
    send: "CONNECT db:5432 HTTP/1.1\nHost: db:5432\n\nGET /smuggled HTTP/1.1\nHost: a\n\n",
    check(got) {
      assert.equal(statuses(got).length, 1);
      assert.doesNotMatch(got, /smuggled/);
    },
  },
  {
    name: "an answer to HEAD has no body, and the next request its own",
    send: "HEAD /1 HTTP/1.1\nHost: a\n\nGET /2 HTTP/1.1\nHost: a\nConnection: close\n\n",
    app(request, response) {
      response.writeHead(200, { "content-length": "2" });
      response.end(request.method === "HEAD" ? undefined : request.url);
    },
    check: (got) => assert.match(got, /^HTTP\/1\.1 200[^]*?\r\n\r\nHTTP\/1\.1 200[^]*?\r\n\r\n\/2$/),
  },
];

/** What the client has got when the connection is closed. */
async function talk(port: number, send: string): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  let got = "";
  socket.on("error", () => undefined);
  socket.on("data", (bytes) => (got += bytes.toString("latin1")));
  socket.write(send.replaceAll("\n", "\r\n"));
  await once(socket, "close");
  return got;
}

it("HTTP/1 clients of every kind", async (t) => {
  const bridges = await startBridges(t);
  const raw = bridges.all.filter(({ client }) => client === "http1");
  for (const dialogue of DIALOGUES)
    await t.test(dialogue.name, async (t) => {
      for (const bridge of raw)
        await t.test(bridge.name, async () => {
          bridges.handle = dialogue.app ?? say;
          dialogue.check(await talk(bridge.port, dialogue.send));
        });
    });
});

const ANSWERS: readonly { readonly name: string; readonly answer: string; readonly check: (got: string) => void }[] = [
  {
    name: "a body that ends with the connection",
    answer: "HTTP/1.1 200 OK\n\nuntil the end",
    check: (got) => assert.match(got, /until the end/),
  },
  {
    name: "an HTTP/1.0 answer",
    answer: "HTTP/1.0 200 OK\nServer: old\n\nold body",
    check: (got) => assert.match(got, /old body/),
  },
  {
    name: "a body that is shorter than its length is no whole answer",
    answer: "HTTP/1.1 200 OK\nContent-Length: 10\n\nshort",
    check: (got) => assert.doesNotMatch(got, /\r\n0\r\n\r\n$/),
  },
  {
    name: "chunks that break off are no whole answer",
    answer: "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nshort\n",
    check: (got) => assert.doesNotMatch(got, /\r\n0\r\n\r\n$/),
  },
  {
    name: "two lengths are refused",
    answer: "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab",
    check: (got) => assert.deepEqual(statuses(got), ["502"]),
  },
];

it("HTTP/1 servers of every kind", async (t) => {
  const apps = await Promise.all(
    ANSWERS.map(({ answer }) =>
      startTcpApp((socket) => void socket.once("data", () => socket.end(answer.replaceAll("\n", "\r\n")))),
    ),
  );
  for (const app of apps) atEnd(t, () => app.stop());
  const proxy = await Proxy.start({
    listeners: apps.map((_app, i) => httpListener(`in${i}`, `app${i}`)),
    clusters: apps.map((app, i) => cluster(`app${i}`, app.port)),
  });
  atEnd(t, () => proxy.stop());
  const send = "GET / HTTP/1.1\nHost: a\nConnection: close\n\n";
  for (const [i, { name, check }] of ANSWERS.entries())
    await t.test(name, async () => check(await talk(proxy.port(`in${i}`), send)));
});
