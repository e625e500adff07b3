// A WebSocket from HTTP/1 and from HTTP/2 (RFC 8441) clients to applications of either, through one sidecar and through two.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type { Duplex } from "node:stream";
import { it, type TestContext } from "node:test";

import { listen } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { startMesh } from "./mesh-pair.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

type Protocol = "http1" | "http2";
const PROTOCOLS: readonly Protocol[] = ["http1", "http2"];

/** An upgrade that is accepted and echoes, ending when the client ends; `/no` is refused. */
async function startHttp1(t: TestContext): Promise<number> {
  const server = http.createServer((_request, response) => void response.writeHead(426).end("no"));
  server.on("upgrade", (request: http.IncomingMessage, socket: Duplex) => {
    socket.on("error", () => undefined);
    if (request.url === "/no") return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    const accept = acceptOf(request.headers["sec-websocket-key"] ?? "");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
        "Sec-WebSocket-Protocol: chat\r\n\r\n",
    );
    socket.pipe(socket);
  });
  const app = await listen(server, () => server.closeAllConnections());
  atEnd(t, () => app.stop());
  return app.port;
}

async function startHttp2(t: TestContext): Promise<number> {
  const server = http2.createServer({ settings: { enableConnectProtocol: true } });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    if (headers[":method"] !== "CONNECT" || headers[":protocol"] !== "websocket" || headers[":path"] === "/no") {
      stream.respond({ ":status": 403 });
      stream.end("no");
      return;
    }
    stream.respond({ ":status": 200, "sec-websocket-protocol": "chat" });
    stream.pipe(stream);
  });
  const app = await listen(server, () => {
    for (const session of sessions) session.destroy();
  });
  atEnd(t, () => app.stop());
  return app.port;
}

function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

interface Opened {
  readonly status: number;
  readonly stream: Duplex;
  readonly protocol: string | undefined;
}

async function openHttp1(t: TestContext, port: number, path: string): Promise<Opened> {
  const key = randomBytes(16).toString("base64");
  const request = http.request({
    port,
    path,
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-key": key,
      "sec-websocket-version": "13",
      "sec-websocket-protocol": "chat",
    },
  });
  request.end();
  atEnd(t, () => request.destroy());
  const answer = Promise.race([once(request, "upgrade"), once(request, "response")]);
  const [response, socket] = (await answer) as [http.IncomingMessage, Duplex | undefined];
  if (socket === undefined) return { status: response.statusCode ?? 0, stream: response.socket, protocol: undefined };
  assert.equal(response.headers["sec-websocket-accept"], acceptOf(key));
  const protocol = response.headers["sec-websocket-protocol"];
  return { status: response.statusCode ?? 0, stream: socket, protocol };
}

async function openHttp2(t: TestContext, port: number, path: string): Promise<Opened> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  atEnd(t, () => session.destroy());
  if (!session.remoteSettings.enableConnectProtocol) await once(session, "remoteSettings");
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":path": path,
    ":scheme": "http",
    ":authority": "chat.example",
    "sec-websocket-version": "13",
    "sec-websocket-protocol": "chat",
  });
  const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  const protocol = head["sec-websocket-protocol"];
  return { status: Number(head[":status"]), stream, protocol: typeof protocol === "string" ? protocol : undefined };
}

it("a WebSocket opens, carries bytes both ways, closes, and may be refused", async (t) => {
  const ports = { http1: await startHttp1(t), http2: await startHttp2(t) };
  const [plain, mesh] = await Promise.all([
    Proxy.start({
      listeners: PROTOCOLS.map((app) => httpListener(app, app)),
      clusters: PROTOCOLS.map((app) => cluster(app, ports[app], app)),
    }),
    startMesh(t, {
      http1: { port: ports.http1, protocol: "http1" },
      http2: { port: ports.http2, protocol: "http2" },
    }),
  ]);
  atEnd(t, () => plain.stop());
  for (const isMesh of [false, true])
    for (const client of PROTOCOLS)
      for (const app of PROTOCOLS)
        await t.test(`${client} -> ${isMesh ? "sidecar -> mTLS -> sidecar" : "sidecar"} -> ${app}`, async (t) => {
          const port = (isMesh ? mesh.caller : plain).port(app);
          const open = client === "http1" ? openHttp1 : openHttp2;
          const { status, stream, protocol } = await open(t, port, "/chat");
          assert.equal(status, client === "http1" ? 101 : 200);
          assert.equal(protocol, "chat");
          stream.on("error", () => undefined);
          stream.write("hello");
          assert.equal(String(await once(stream, "data")), "hello");
          const large = Buffer.alloc(1_000_000, "w");
          let length = 0;
          stream.on("data", (bytes: Buffer) => (length += bytes.length));
          stream.end(large);
          await once(stream, "end");
          assert.equal(length, large.length);
          assert.equal((await open(t, port, "/no")).status, 403);
        });
});
