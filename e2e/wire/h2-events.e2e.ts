// What happens to a connection while requests run on it, written frame by frame by the server: GOAWAY, SETTINGS, silence.
import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { listen, startTcpApp } from "./apps.ts";
import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  headers,
  number,
  PREFACE,
  settings,
  TYPE,
} from "./attacks/raw-frames.ts";
import { atEnd } from "./cleanup.ts";
import { startMeshPair } from "./mesh-pair.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";
import { until } from "./until.ts";

/** One connection of the sidecar to a server that does what the test says. */
class Conversation {
  readonly socket: net.Socket;
  /** Streams whose request has come wholly, with the bytes of their bodies. */
  readonly asked = new Map<number, number>();
  readonly opened: number[] = [];
  /** Octets of DATA by stream. */
  readonly data = new Map<number, number>();
  largestFrame = 0;
  acknowledged = 0;
  isDeaf = false;
  onAsked: (id: number) => void = (id) => this.answer(id);
  #rest = Buffer.alloc(0);
  #prefaceLeft = PREFACE.length;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("end", () => socket.end());
  }

  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  answer(id: number, body = `stream ${id}`): void {
    const head = headers(id, [[":status", "200"]], false);
    this.send(head, frame(TYPE.DATA, END_STREAM, id, Buffer.from(body)));
  }

  #read(bytes: Buffer): void {
    const skipped = Math.min(this.#prefaceLeft, bytes.length);
    this.#prefaceLeft -= skipped;
    this.#rest = Buffer.concat([this.#rest, bytes.subarray(skipped)]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) return;
      const [type = 0, flags = 0] = this.#rest.subarray(3, 5);
      const id = this.#rest.readUInt32BE(5);
      const payload = this.#rest.subarray(9, 9 + length);
      this.#rest = this.#rest.subarray(9 + length);
      if (!this.isDeaf) this.#take(type, flags, id, payload);
    }
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === TYPE.SETTINGS) {
      if ((flags & 1) === 0) this.send(frame(TYPE.SETTINGS, 1, 0));
      else this.acknowledged++;
    } else if (type === TYPE.PING && (flags & 1) === 0) this.send(frame(TYPE.PING, 1, 0, payload));
    else if (type === TYPE.HEADERS) this.opened.push(id);
    else if (type === TYPE.DATA) {
      this.largestFrame = Math.max(this.largestFrame, payload.length);
      this.data.set(id, (this.data.get(id) ?? 0) + payload.length);
    }
    if ((type === TYPE.HEADERS || type === TYPE.DATA) && (flags & END_STREAM) !== 0) {
      this.asked.set(id, this.data.get(id) ?? 0);
      this.onAsked(id);
    }
  }
}

interface Stage {
  readonly port: number;
  readonly conversations: Conversation[];
  /** What a new connection is told at once and does. */
  begin: (conversation: Conversation, index: number) => void;
}

/** A server of raw frames behind the sidecar, or behind two. */
async function setUp(t: TestContext, isMesh: boolean, options: object = {}): Promise<Stage> {
  const stage: Stage = { port: 0, conversations: [], begin: (one) => one.send(settings()) };
  const app = await startTcpApp((socket) => {
    const conversation = new Conversation(socket);
    stage.conversations.push(conversation);
    stage.begin(conversation, stage.conversations.length - 1);
  });
  atEnd(t, () => app.stop());
  if (isMesh) return Object.assign(stage, { port: (await startMeshPair(t, app.port, "http2")).port });
  const plain = cluster("app", app.port, "http2");
  const proxy = await Proxy.start({ listeners: [httpListener("in", "app")], clusters: [{ ...plain, ...options }] });
  atEnd(t, () => proxy.stop());
  return Object.assign(stage, { port: proxy.port("in") });
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly proxyStatus: string;
}

function open(t: TestContext, port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  atEnd(t, () => session.destroy());
  return session;
}

async function call(session: http2.ClientHttp2Session, method: string, body = ""): Promise<Answer> {
  const stream = session.request({ ":method": method, ":path": "/" }, { endStream: body === "" });
  if (body !== "") stream.end(body);
  const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  let text = "";
  for await (const bytes of stream) text += String(bytes);
  return { status: Number(head[":status"]), body: text, proxyStatus: String(head["proxy-status"] ?? "") };
}

function goaway(lastStreamId: number, code = 0): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(lastStreamId);
  payload.writeUInt32BE(code, 4);
  return frame(TYPE.GOAWAY, 0, 0, payload);
}

for (const isMesh of [false, true]) {
  const way = isMesh ? "two sidecars" : "one sidecar";

  it(`requests beyond a GOAWAY go to a new connection, those below it are finished there: ${way}`, async (t) => {
    const stage = await setUp(t, isMesh);
    stage.begin = (conversation, index) => {
      conversation.send(settings());
      if (index > 0) return;
      conversation.onAsked = () => {
        if (conversation.asked.size < 6) return;
        // Of streams 1 to 11 the first three are answered, after the GOAWAY.
        conversation.send(goaway(5));
        for (const id of [1, 3, 5]) conversation.answer(id, `first ${id}`);
      };
    };
    const session = open(t, stage.port);
    const methods = ["GET", "POST", "PUT", "POST", "GET", "DELETE"];
    const answers = await Promise.all(
      methods.map((method) => call(session, method, method === "POST" ? "a body" : "")),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      methods.map(() => 200),
    );
    assert.equal(answers.filter(({ body }) => body.startsWith("first ")).length, 3);
    const [first, second] = stage.conversations;
    assert.deepEqual([first?.asked.size, second?.asked.size, stage.conversations.length], [6, 3, 2]);
    // Nothing was shortened on its way to the second.
    const bodies = (one: Conversation | undefined): number[] => [...(one?.asked.values() ?? [])];
    assert.equal(
      bodies(first).reduce((sum, bytes) => sum + bytes, 0),
      12,
    );
    for (const bytes of bodies(second)) assert.ok(bytes === 0 || bytes === 6, String(bytes));
  });
}

it("SETTINGS in mid-stream hold at once, downwards and upwards", async (t) => {
  const stage = await setUp(t, false, { circuit_breakers: { thresholds: [{ max_connections: 1 }] } });
  stage.begin = (conversation) => conversation.send(settings([4, 1000]));
  const session = open(t, stage.port);
  // The server's SETTINGS have come before its answer.
  assert.equal((await call(session, "GET")).status, 200);
  const [server] = stage.conversations;
  assert.ok(server);
  const upload = call(session, "POST", "x".repeat(100_000));
  await until("the window is used up", () => server.data.get(3) === 1000);
  // 1000 octets below zero, then so far up that 2000 are left: 3000 in all.
  server.send(settings([4, 0]));
  await until("the smaller window is acknowledged", () => server.acknowledged === 2);
  server.send(settings([4, 3000]));
  await until("the larger window is used up", () => server.data.get(3) === 3000);
  // A frame may be larger now; nobody has to write such ones. Then one stream is all.
  server.send(settings([5, 100_000], [3, 1], [4, 65_535]));
  await until("all are acknowledged", () => server.acknowledged === 4);
  let answered = 1;
  let most = 0;
  server.onAsked = (id) => {
    most = Math.max(most, server.opened.length - answered);
    setImmediate(() => {
      answered++;
      server.answer(id);
    });
  };
  const waiting = [1, 2, 3].map(() => call(session, "GET"));
  server.send(number(TYPE.WINDOW_UPDATE, 3, 1 << 20), number(TYPE.WINDOW_UPDATE, 0, 1 << 20));
  assert.deepEqual([(await upload).status, server.data.get(3)], [200, 100_000]);
  for (const { status } of await Promise.all(waiting)) assert.equal(status, 200);
  assert.deepEqual([server.opened.length, most], [5, 1]);
  assert.ok(server.largestFrame <= 100_000);
});

it("a server that stops answering PING is left: its requests are told why, new ones get a new connection", async (t) => {
  const keepalive = { connection_keepalive: { interval: "0.3s", timeout: "0.3s" } };
  const protocol = {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      explicit_http_config: { http2_protocol_options: keepalive },
    },
  };
  const stage = await setUp(t, false, { typed_extension_protocol_options: protocol });
  stage.begin = (conversation, index) => {
    conversation.send(settings());
    if (index > 0) return;
    conversation.onAsked = () => (conversation.isDeaf = true);
  };
  const session = open(t, stage.port);
  // It may have been executed: it is not sent again.
  const lost = await call(session, "POST", "a body");
  assert.equal(lost.status, 503);
  assert.match(lost.proxyStatus, /error=connection_/);
  assert.deepEqual(await call(session, "GET").then(({ status, body }) => [status, body]), [200, "stream 1"]);
  assert.equal(stage.conversations.length, 2);
});

it("CONNECT opens a tunnel for HTTP/1.1 and HTTP/2 clients", async (t) => {
  const server = http.createServer();
  server.on("connect", (_request, socket: net.Socket, head: Buffer) => {
    socket.on("error", () => undefined);
    socket.write("HTTP/1.1 200 OK\r\n\r\n");
    socket.write(head);
    socket.pipe(socket);
  });
  const app = await listen(server, () => server.closeAllConnections());
  atEnd(t, () => app.stop());
  const manager = {
    upgrade_configs: [{ upgrade_type: "CONNECT" }],
    route_config: {
      name: "connect",
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [{ match: { connect_matcher: {} }, route: { cluster: "app" } }],
        },
      ],
    },
  };
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app", "AUTO", undefined, manager)],
    clusters: [cluster("app", app.port)],
  });
  atEnd(t, () => proxy.stop());
  const port = proxy.port("in");
  const large = Buffer.alloc(1 << 20, "tunnel ");

  const request = http.request({ port, method: "CONNECT", path: "db.example:5432" }).end();
  const [response, socket] = (await once(request, "connect")) as [http.IncomingMessage, net.Socket];
  const session = open(t, port);
  const stream = session.request({ ":method": "CONNECT", ":authority": "db.example:5432" });
  const [head] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  assert.deepEqual([response.statusCode, head[":status"]], [200, 200]);
  assert.equal(response.headers["transfer-encoding"] ?? response.headers["content-length"], undefined);
  for (const tunnel of [socket, stream]) {
    let length = 0;
    tunnel.on("data", (bytes: Buffer) => (length += bytes.length));
    tunnel.write("hello");
    await until("the greeting is back", () => length === 5);
    tunnel.end(large);
    await once(tunnel, "end");
    assert.equal(length, large.length + 5);
  }
});

it("a head far above the limit is answered 431, and the connection and its HPACK state stay", async (t) => {
  const stage = await setUp(t, false);
  const socket = net.connect(stage.port, "127.0.0.1");
  atEnd(t, () => socket.destroy());
  let got = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => (got = Buffer.concat([got, bytes])));
  const head: [string, string][] = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a"],
  ];
  // 100 KiB in 7 frames, and a field behind them that enters the table.
  const large = Buffer.concat([
    block([...head, ...Array.from({ length: 25 }, (_, i): [string, string] => [`x-${i}`, "v".repeat(4096)])]),
    block([["x-kept", "from the refused head"]], 0x40),
  ]);
  const frames: Buffer[] = [];
  for (let at = 0; at < large.length; at += 16_384) {
    const type = at === 0 ? TYPE.HEADERS : TYPE.CONTINUATION;
    const flags = (at === 0 ? END_STREAM : 0) | (at + 16_384 >= large.length ? END_HEADERS : 0);
    frames.push(frame(type, flags, 1, large.subarray(at, at + 16_384)));
  }
  // 0xbe: the newest entry of the dynamic table.
  const next = frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 3, Buffer.concat([block(head), Buffer.from([0xbe])]));
  socket.write(Buffer.concat([PREFACE, settings(), ...frames, next]));
  await until("the second request is answered", () => got.includes("stream 1"));
  assert.ok(got.includes("431"));
});
