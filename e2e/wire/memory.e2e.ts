// Memory is bounded by what is configured, not by what a peer does: stalled readers and idle connections.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { startHttpApp, startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy, tcpListener } from "./proxy.ts";
import { until } from "./until.ts";

const GIB = 2 ** 30;
const MAX_EXTRA_MIB = 32;
const CHUNK = Buffer.alloc(65_536, "m");

/** Sends a GiB as fast as it is taken, and counts what was. */
class Flood {
  sent = 0;
  /** `write` answers false when the peer does not keep up; `whenDrained` waits for the next room. */
  run(write: (bytes: Buffer) => boolean, onDrain: (more: () => void) => void, end: () => void): void {
    const more = (): void => {
      while (this.sent < GIB) {
        this.sent += CHUNK.length;
        if (!write(CHUNK)) {
          onDrain(more);
          return;
        }
      }
      end();
    };
    more();
  }
}

/** Resolves when nothing has moved for a while: every buffer between the application and the client is full. */
async function untilStalled(flood: Flood): Promise<void> {
  let last = -1;
  let quiet = 0;
  await until("the flood stalls", () => {
    quiet = flood.sent === last && last > 0 ? quiet + 1 : 0;
    last = flood.sent;
    return quiet >= 100;
  });
}

/** The least of a few readings: what is only waiting for the garbage collector does not count. */
async function settledRss(proxy: Proxy): Promise<number> {
  let least = Infinity;
  let readings = 0;
  await until("memory was read", () => {
    least = Math.min(least, proxy.rssMib);
    return ++readings >= 50;
  });
  return least;
}

async function measure(t: TestContext, proxy: Proxy, flood: Flood, stall: () => Promise<void>): Promise<void> {
  const before = await settledRss(proxy);
  await stall();
  await untilStalled(flood);
  assert.ok(flood.sent < GIB, "the client did not stall the application");
  const extra = (await settledRss(proxy)) - before;
  t.diagnostic(`${(flood.sent / 2 ** 20).toFixed(1)} MiB were sent before the stall; ${extra.toFixed(1)} MiB more RSS`);
  assert.ok(extra < MAX_EXTRA_MIB, `${extra.toFixed(1)} MiB more`);
}

async function receive(stream: AsyncIterable<unknown>): Promise<number> {
  let length = 0;
  for await (const bytes of stream) length += (bytes as Buffer).length;
  return length;
}

it("a GiB of opaque bytes waits for a stalled client within 32 MiB, and then all of it arrives", async (t) => {
  const flood = new Flood();
  const app = await startTcpApp((socket) =>
    flood.run(
      (bytes) => socket.write(bytes),
      (more) => socket.once("drain", more),
      () => socket.end(),
    ),
  );
  atEnd(t, () => app.stop());
  const proxy = await Proxy.start({ listeners: [tcpListener("tcp", "app")], clusters: [cluster("app", app.port)] });
  atEnd(t, () => proxy.stop());
  let client: net.Socket | undefined;
  await measure(t, proxy, flood, async () => {
    client = net.connect(proxy.port("tcp"), "127.0.0.1").pause();
    const socket = client;
    atEnd(t, () => socket.destroy());
    await once(client, "connect");
  });
  assert.ok(client !== undefined);
  assert.equal(await receive(client), flood.sent);
  assert.equal(flood.sent, GIB);
});

for (const version of ["HTTP/1", "HTTP/2"] as const) {
  it(`a GiB of an answer waits for a stalled ${version} client within 32 MiB, and then all of it arrives`, async (t) => {
    const flood = new Flood();
    const app = await startHttpApp((_request, response) =>
      flood.run(
        (bytes) => response.write(bytes),
        (more) => response.once("drain", more),
        () => response.end(),
      ),
    );
    atEnd(t, () => app.stop());
    const proxy = await Proxy.start({ listeners: [httpListener("in", "app")], clusters: [cluster("app", app.port)] });
    atEnd(t, () => proxy.stop());
    let body: AsyncIterable<unknown> | undefined;
    await measure(t, proxy, flood, async () => {
      if (version === "HTTP/2") {
        const session = http2.connect(`http://127.0.0.1:${proxy.port("in")}`);
        atEnd(t, () => session.destroy());
        const stream = session.request({ ":path": "/" });
        await once(stream, "response");
        body = stream;
        return;
      }
      const socket = net.connect(proxy.port("in"), "127.0.0.1").pause();
      atEnd(t, () => socket.destroy());
      // HTTP/1.0-style end: the connection's end is the body's end.
      socket.write("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n");
      body = socket;
    });
    assert.ok(body !== undefined);
    // HTTP/1 brings its head and the chunks' framing beside the body.
    assert.ok((await receive(body)) >= GIB);
    assert.equal(flood.sent, GIB);
  });
}

const IDLE = 10_000;
/** Far above what is measured (about 10 KiB), far below what a buffer of 64 KiB for each connection would take. */
const MAX_KIB_EACH = 24;

it(`${IDLE} idle HTTP connections stay open, cost little, and the proxy serves on`, async (t) => {
  const app = await startHttpApp();
  atEnd(t, () => app.stop());
  const proxy = await Proxy.start({ listeners: [httpListener("in", "app")], clusters: [cluster("app", app.port)] });
  atEnd(t, () => proxy.stop());
  const before = await settledRss(proxy);
  const sockets: net.Socket[] = [];
  atEnd(t, () => {
    for (const socket of sockets) socket.destroy();
  });
  let closed = 0;
  for (let i = 0; i < IDLE; i += 200) {
    await Promise.all(
      Array.from({ length: 200 }, async () => {
        const socket = net.connect(proxy.port("in"), "127.0.0.1");
        socket.on("close", () => closed++);
        sockets.push(socket);
        await once(socket, "connect");
        socket.write("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
        await once(socket, "data");
      }),
    );
  }
  const kib = (((await settledRss(proxy)) - before) * 1024) / IDLE;
  t.diagnostic(`${kib.toFixed(1)} KiB of RSS for each of ${IDLE} idle connections`);
  assert.equal(closed, 0);
  assert.ok(kib < MAX_KIB_EACH, `${kib.toFixed(1)} KiB each`);
  const last = sockets.at(-1);
  assert.ok(last !== undefined);
  last.write("GET /again HTTP/1.1\r\nHost: app\r\n\r\n");
  const [answer] = (await once(last, "data")) as [Buffer];
  assert.match(String(answer), /^HTTP\/1\.1 200 /);
});
