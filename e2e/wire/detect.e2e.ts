// Ports without a word on what they speak: a server that speaks first is heard at once, and a client may take its time.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { startHttpApp, startTcpApp } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { startWay, WAYS, type Way } from "./opaque-mesh.ts";

const CONNECTIONS = 500;
const MEDIAN_MS = 5;
const LONGEST_MS = 250;
/** The machine is shared: one disturbed run of three is no finding. */
const RUNS = 3;
const GREETING = "220 mail.test ESMTP\r\n";

async function start(t: TestContext, way: Way, appPort: number): Promise<number> {
  const portOf = await startWay((close) => atEnd(t, close), way, { app: appPort });
  return portOf("app");
}

async function connect(t: TestContext, port: number): Promise<net.Socket> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  atEnd(t, () => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Ms until the whole greeting is there. */
async function timeToGreeting(port: number): Promise<number> {
  const startMs = performance.now();
  const socket = net.connect(port, "127.0.0.1");
  let text = "";
  while (text.length < GREETING.length) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    text += bytes.toString("latin1");
  }
  const tookMs = performance.now() - startMs;
  assert.equal(text, GREETING);
  socket.destroy();
  return tookMs;
}

async function readUntil(socket: net.Socket, wanted: RegExp): Promise<string> {
  let text = "";
  while (!wanted.test(text)) {
    const [bytes] = (await once(socket, "data")) as [Buffer];
    text += bytes.toString("latin1");
  }
  return text;
}

for (const way of WAYS) {
  it(`${CONNECTIONS} greetings through ${way}: median under ${MEDIAN_MS} ms, none over ${LONGEST_MS} ms`, async (t) => {
    const app = await startTcpApp((socket) => void socket.write(GREETING));
    atEnd(t, () => app.stop());
    const port = await start(t, way, app.port);
    for (let run = 1; ; run++) {
      const times: number[] = [];
      for (let i = 0; i < CONNECTIONS; i++) times.push(await timeToGreeting(port));
      const first = times[0] ?? Infinity;
      times.sort((left, right) => left - right);
      const median = times[CONNECTIONS / 2] ?? Infinity;
      const longest = times.at(-1) ?? Infinity;
      const p99 = times[Math.floor(CONNECTIONS * 0.99)] ?? Infinity;
      t.diagnostic(
        `first ${first.toFixed(1)} ms, median ${median.toFixed(2)}, p99 ${p99.toFixed(1)}, longest ${longest.toFixed(1)}`,
      );
      if (median < MEDIAN_MS && longest <= LONGEST_MS) break;
      assert.ok(run < RUNS, `median ${median} ms, longest ${longest} ms`);
    }
  });

  it(`clients that speak first are told by their first bytes through ${way}`, async (t) => {
    const app = await startHttpApp();
    atEnd(t, () => app.stop());
    const port = await start(t, way, app.port);
    const hasty = await connect(t, port);
    hasty.write("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    const answer = await readUntil(hasty, /GET \/a 0\n/);
    assert.match(answer, /^HTTP\/1\.1 200/);
    // The proxy has read it as HTTP: it says who answered.
    assert.match(answer, /^server: heddle/im);
    const session = http2.connect(`http://127.0.0.1:${port}`);
    atEnd(t, () => session.destroy());
    const stream = session.request({ ":path": "/h2" });
    let body = "";
    for await (const bytes of stream) body += String(bytes);
    assert.equal(body, "GET /h2 0\n");
  });

  it(`a client that was silent for longer than the time for looking may speak HTTP through ${way}`, async (t) => {
    const app = await startHttpApp();
    atEnd(t, () => app.stop());
    const port = await start(t, way, app.port);
    const [late, pieces] = [await connect(t, port), await connect(t, port)];
    await new Promise((resolve) => setTimeout(resolve, 1500));
    late.write("GET /late HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await readUntil(late, /GET \/late 0\n/), /^server: heddle/im);
    // The connection is kept as any other of HTTP.
    late.write("GET /again HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await readUntil(late, /GET \/again 0\n/), /^HTTP\/1\.1 200/);
    for (const byte of "GET /pieces HTTP/1.1\r\nhost: a\r\n\r\n") {
      pieces.write(byte);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assert.match(await readUntil(pieces, /GET \/pieces 0\n/), /^server: heddle/im);
  });

  it(`a client that was silent for longer than the time for looking may speak anything through ${way}`, async (t) => {
    const app = await startTcpApp((socket) => socket.pipe(socket));
    atEnd(t, () => app.stop());
    const port = await start(t, way, app.port);
    const late = await connect(t, port);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    late.write("*1\r\n$4\r\nPING\r\n");
    assert.equal(await readUntil(late, /PING\r\n/), "*1\r\n$4\r\nPING\r\n");
  });
}

it("an agent that opens connections ahead of its requests gets its answers", async (t) => {
  const app = await startHttpApp();
  atEnd(t, () => app.stop());
  const port = await start(t, "two sidecars with mutual TLS", app.port);
  const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(t, port)));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const answers = await Promise.all(
    sockets.map(
      (socket, i) =>
        new Promise<number | undefined>((resolve, reject) => {
          const request = http.request(
            { createConnection: () => socket, path: `/${i}`, headers: { host: "a" } },
            (response) => {
              response.resume();
              resolve(response.statusCode);
            },
          );
          request.on("error", reject).end();
        }),
    ),
  );
  assert.deepEqual(new Set(answers), new Set([200]));
});
