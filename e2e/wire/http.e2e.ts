// HTTP as applications use it: chunked uploads, trailers, WebSocket, detection of the protocol, aborted downloads.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { WebSocket, WebSocketServer } from "ws";

import { listen, startHttpApp, startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, httpFilter, httpListener, Proxy, tcpFilter } from "./proxy.ts";
import { until } from "./until.ts";

async function proxyTo(t: TestContext, port: number, protocol: "http1" | "http2" = "http1"): Promise<Proxy> {
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app")],
    clusters: [cluster("app", port, protocol)],
  });
  atEnd(t, () => proxy.stop());
  return proxy;
}

async function startApp(t: TestContext, listener?: http.RequestListener): Promise<number> {
  const app = await startHttpApp(listener);
  atEnd(t, () => app.stop());
  return app.port;
}

async function text(stream: AsyncIterable<unknown>): Promise<string> {
  let all = "";
  for await (const bytes of stream) all += String(bytes);
  return all;
}

function openHttp2(t: TestContext, port: number): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  atEnd(t, () => session.destroy());
  return session;
}

it("a chunked upload of unknown length arrives byte for byte", async (t) => {
  const port = await startApp(t, (request, response) => {
    const hash = createHash("sha256");
    request.on("data", (bytes: Buffer) => hash.update(bytes)).on("end", () => response.end(hash.digest("hex")));
  });
  const proxy = await proxyTo(t, port);
  const request = http.request({ port: proxy.port("in"), method: "POST", path: "/upload" });
  const hash = createHash("sha256");
  for (let i = 0; i < 300; i++) {
    const chunk = Buffer.alloc((i * 7919) % 65_536, i);
    hash.update(chunk);
    if (!request.write(chunk)) await once(request, "drain");
  }
  request.end();
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  assert.equal(await text(response), hash.digest("hex"));
});

it("trailers go through, from HTTP/1 to HTTP/2 too", async (t) => {
  const port = await startApp(t, (_request, response) => {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("body");
    response.addTrailers({ "x-sum": "4" });
    response.end();
  });
  const proxy = await proxyTo(t, port);
  const request = http.get({ port: proxy.port("in"), headers: { te: "trailers" } });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  assert.equal(await text(response), "body");
  assert.equal(response.trailers["x-sum"], "4");
  const stream = openHttp2(t, proxy.port("in")).request({ ":path": "/", te: "trailers" });
  let sum: unknown;
  stream.on("trailers", (trailers: http2.IncomingHttpHeaders) => (sum = trailers["x-sum"]));
  assert.equal(await text(stream), "body");
  assert.equal(sum, "4");
});

it("a WebSocket carries text and a megabyte both ways, and its close code", async (t) => {
  const server = http.createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const app = await listen(server, () => server.closeAllConnections());
  atEnd(t, () => app.stop());
  const proxy = await proxyTo(t, app.port);
  const client = new WebSocket(`ws://127.0.0.1:${proxy.port("in")}/chat`);
  await once(client, "open");
  client.send("hello");
  const [first] = (await once(client, "message")) as [Buffer];
  assert.equal(String(first), "hello");
  const large = Buffer.alloc(1_000_000, "w");
  client.send(large);
  const [second] = (await once(client, "message")) as [Buffer];
  assert.ok(large.equals(second));
  client.close(4001, "enough");
  const [code] = (await once(client, "close")) as [number];
  assert.equal(code, 4001);
});

it("one port serves HTTP/1 and HTTP/2 by what comes first", async (t) => {
  const proxy = await proxyTo(t, await startApp(t));
  const port = proxy.port("in");
  const [response] = (await once(http.get({ port, path: "/one" }), "response")) as [http.IncomingMessage];
  assert.equal(await text(response), "GET /one 0\n");
  assert.equal(await text(openHttp2(t, port).request({ ":path": "/two" })), "GET /two 0\n");
});

it("a port with an HTTP inspector serves HTTP/1, HTTP/2 and opaque bytes", async (t) => {
  const web = await startApp(t);
  const raw = await startTcpApp((socket) => void socket.pipe(socket));
  atEnd(t, () => raw.stop());
  const proxy = await Proxy.start({
    listeners: [
      {
        name: "any",
        address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
        listener_filters: [
          {
            name: "envoy.filters.listener.http_inspector",
            typed_config: {
              "@type": "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector",
            },
          },
        ],
        filter_chains: [
          {
            filter_chain_match: { application_protocols: ["http/1.0", "http/1.1", "h2c"] },
            filters: [httpFilter("web", "web")],
          },
          { filters: [tcpFilter("raw", "raw")] },
        ],
      },
    ],
    clusters: [cluster("web", web), cluster("raw", raw.port)],
  });
  atEnd(t, () => proxy.stop());
  const port = proxy.port("any");
  const [response] = (await once(http.get({ port, path: "/one" }), "response")) as [http.IncomingMessage];
  assert.equal(await text(response), "GET /one 0\n");
  assert.equal(await text(openHttp2(t, port).request({ ":path": "/two" })), "GET /two 0\n");
  const socket = net.connect(port, "127.0.0.1");
  atEnd(t, () => socket.destroy());
  socket.write(Buffer.from([0x10, 0x0c, 0, 4, 77, 81, 84, 84]));
  const [echoed] = (await once(socket, "data")) as [Buffer];
  assert.equal(echoed.toString("latin1", 4), "MQTT");
});

for (const protocol of ["http1", "http2"] as const) {
  it(`after twenty aborted downloads a full one comes through, upstream ${protocol}`, async (t) => {
    const size = 8 * 1024 * 1024;
    const body = Buffer.alloc(size, "d");
    let port: number;
    if (protocol === "http1") port = await startApp(t, (_request, response) => response.end(body));
    else {
      const server = http2.createServer((_request, response) => response.end(body));
      const sessions = new Set<http2.ServerHttp2Session>();
      server.on("session", (session) => sessions.add(session));
      const app = await listen(server, () => {
        for (const session of sessions) session.destroy();
      });
      atEnd(t, () => app.stop());
      port = app.port;
    }
    const proxy = await proxyTo(t, port, protocol);
    const session = openHttp2(t, proxy.port("in"));
    for (let i = 0; i < 20; i++) {
      const stream = session.request({ ":path": `/${i}` });
      await once(stream, "data");
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await once(stream, "close");
    }
    let length = 0;
    for await (const bytes of session.request({ ":path": "/full" })) length += (bytes as Buffer).length;
    assert.equal(length, size);
  });
}

it("SIGTERM loses no request: running ones end, and the clients are told to go elsewhere", async (t) => {
  const waiting: (() => void)[] = [];
  const port = await startApp(t, (_request, response) => void waiting.push(() => response.end("late")));
  const proxy = await proxyTo(t, port);
  const agent = new http.Agent({ keepAlive: true });
  atEnd(t, () => agent.destroy());
  const session = openHttp2(t, proxy.port("in"));
  const answers: Promise<string>[] = [];
  for (let i = 0; i < 10; i++) {
    const request = http.get({ port: proxy.port("in"), agent });
    answers.push(once(request, "response").then(([response]) => text(response as http.IncomingMessage)));
    answers.push(text(session.request({ ":path": `/${i}` })));
  }
  await until("all requests wait in the application", () => waiting.length === 20);
  const goaway = once(session, "goaway");
  proxy.terminate();
  const [code] = (await goaway) as [number];
  assert.equal(code, http2.constants.NGHTTP2_NO_ERROR);
  await until("no new connection is accepted", () => refuses(proxy.port("in")));
  for (const answer of waiting) answer();
  assert.deepEqual(
    await Promise.all(answers),
    Array.from({ length: 20 }, () => "late"),
  );
  assert.equal(await proxy.ended(), 0);
});

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}
