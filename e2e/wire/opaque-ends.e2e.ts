// How opaque connections end and wait: half-closes, resets, silence and slow readers, through one sidecar and through two.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { startWay, WAYS, type Way } from "./opaque-mesh.ts";
import { cluster, Proxy, tcpFilter } from "./proxy.ts";
import { until } from "./until.ts";

const MIB = 1024 * 1024;
const LARGE = Buffer.alloc(64 * MIB, "opaque bytes, ");
const LARGE_HASH = createHash("sha256").update(LARGE).digest("hex");
/** What may lie in two kernels' buffers on each leg and in the windows of the proxies. */
const HELD_MIB = 40;
const HALF = { destroyOnReturn: false };

/** The port to call, in front of an application that does this. */
async function start(t: TestContext, way: Way, onConnection: (socket: net.Socket) => void): Promise<number> {
  const app = await startTcpApp(onConnection);
  atEnd(t, () => app.stop());
  const portOf = await startWay((close) => atEnd(t, close), way, { app: app.port });
  return portOf("app");
}

async function connect(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  atEnd(t, () => socket.destroy());
  await once(socket, "connect");
  return socket;
}

async function readAll(socket: net.Socket): Promise<string> {
  let text = "";
  for await (const bytes of socket.iterator(HALF)) text += String(bytes);
  return text;
}

async function hashAll(socket: net.Socket): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of socket.iterator(HALF)) hash.update(bytes);
  return hash.digest("hex");
}

/** How the connection ended for this side: the code of the error, or "". */
function endOf(socket: net.Socket): Promise<string> {
  return new Promise((resolve) => {
    let code = "";
    socket.on("error", (error: NodeJS.ErrnoException) => (code = error.code ?? "other"));
    socket.once("close", () => resolve(code));
  });
}

for (const way of WAYS) {
  it(`either side may end its half first, through ${way}`, async (t) => {
    let heard = "";
    const port = await start(t, way, (socket) => {
      socket.once("data", (first: Buffer) => {
        if (String(first) === "end") socket.end("the server has ended");
        void readAll(socket).then((rest) => {
          heard = rest;
          if (String(first) !== "end") socket.end(LARGE);
        });
      });
    });
    const asking = await connect(t, port);
    asking.end("* a question");
    assert.equal(await hashAll(asking), LARGE_HASH);
    const telling = await connect(t, port);
    telling.write("end");
    assert.equal(await readAll(telling), "the server has ended");
    for (let i = 0; i < 100; i++) telling.write("x".repeat(10_000));
    telling.end("z");
    await until("the server hears all the rest", () => heard.length === 1_000_001 && heard.endsWith("z"));
  });

  it(`a reset of either side is a reset for the other, through ${way}`, async (t) => {
    const ends: Promise<string>[] = [];
    const port = await start(t, way, (socket) => {
      ends.push(endOf(socket));
      socket.on("data", (bytes: Buffer) => {
        if (String(bytes) === "*reset") socket.resetAndDestroy();
        else socket.write(bytes);
      });
    });
    const resetting = await connect(t, port);
    resetting.write("*hello");
    await once(resetting, "data");
    resetting.resetAndDestroy();
    assert.equal(await ends[0], "ECONNRESET");
    const victim = await connect(t, port);
    const end = endOf(victim);
    victim.resume();
    victim.write("*reset");
    assert.equal(await end, "ECONNRESET");
  });

  it(`whoever does not read is not written to for ever, through ${way}`, async (t) => {
    const sockets: net.Socket[] = [];
    const port = await start(t, way, (socket) => sockets.push(socket));
    const client = await connect(t, port);
    await until("the server is called", () => sockets.length === 1);
    const [server] = sockets;
    assert.ok(server);
    client.pause();
    server.pause();
    const pumps = [new Pump(server), new Pump(client)];
    for (const pump of pumps) {
      let seen = -1;
      let alike = 0;
      await until("the writer is held", () => {
        alike = pump.sentBytes === seen ? alike + 1 : 0;
        seen = pump.sentBytes;
        return alike > 30;
      });
      t.diagnostic(`${Math.round(seen / MIB)} MiB are under way`);
      assert.ok(seen < HELD_MIB * MIB, `${seen} bytes were taken`);
    }
    const [down, up] = [hashAll(client), hashAll(server)];
    assert.equal(await down, LARGE_HASH);
    assert.equal(await up, LARGE_HASH);
  });
}

/** Writes LARGE as the socket takes it, and then FIN. */
class Pump {
  sentBytes = 0;

  constructor(socket: net.Socket) {
    const write = (): void => {
      while (this.sentBytes < LARGE.length) {
        const chunk = LARGE.subarray(this.sentBytes, this.sentBytes + 65_536);
        this.sentBytes += chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.off("drain", write);
      socket.end();
    };
    socket.on("drain", write);
    write();
  }
}

it("a connection on which nothing moves is ended after its idle time, one that lives is not", async (t) => {
  const app = await startTcpApp((socket) => socket.pipe(socket));
  atEnd(t, () => app.stop());
  const filter = tcpFilter("tcp", "app") as { typed_config: object }; // as: proxy.ts makes it so
  const proxy = await Proxy.start({
    listeners: [
      {
        name: "tcp",
        address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
        filter_chains: [{ filters: [{ ...filter, typed_config: { ...filter.typed_config, idle_timeout: "1s" } }] }],
      },
    ],
    clusters: [cluster("app", app.port)],
  });
  atEnd(t, () => proxy.stop());
  const [idle, living] = [await connect(t, proxy.port("tcp")), await connect(t, proxy.port("tcp"))];
  const timer = setInterval(() => living.write("."), 50);
  atEnd(t, () => clearInterval(timer));
  living.resume();
  idle.resume();
  await endOf(idle);
  assert.equal(living.destroyed, false);
  const before = living.bytesRead;
  await until("the living one still gets its echo", () => living.bytesRead > before);
});
