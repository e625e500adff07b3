// Response splitting and desynchronization by the server: no client ever gets bytes of an answer that was not for it.
import assert from "node:assert/strict";
import type net from "node:net";
import { it, type TestContext } from "node:test";

import { startTcpApp } from "../apps.ts";
import { atEnd } from "../cleanup.ts";
import { cluster, httpListener, Proxy } from "../proxy.ts";
import { until } from "../until.ts";
import { RawClient } from "./answers.ts";
import { EVIL, SPLITTING, type SplittingCase } from "./splitting-cases.ts";

const PAUSE_MS = 20;
const CLEAN = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean";

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Calls back for each request without a body, with what follows its head. */
async function startRawServer(
  t: TestContext,
  answer: (socket: net.Socket, line: string, rest: string) => void,
): Promise<number> {
  const app = await startTcpApp((socket) => {
    let text = "";
    socket.on("end", () => socket.end());
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = text.slice(0, end);
      const rest = text.slice(end + 4);
      text = "";
      answer(socket, head.slice(0, head.indexOf("\r\n")), rest);
    });
  });
  atEnd(t, () => app.stop());
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app", "HTTP1")],
    clusters: [cluster("app", app.port)],
  });
  atEnd(t, () => proxy.stop());
  return proxy.port("in");
}

async function write(socket: net.Socket, { pieces, ends }: SplittingCase): Promise<void> {
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await sleep(PAUSE_MS);
    if (!socket.destroyed) socket.write(piece, "latin1");
  }
  if (ends) socket.end();
}

async function askClean(port: number, client?: RawClient): Promise<void> {
  const asked = client ?? new RawClient(port);
  const before = asked.answers.length;
  asked.write("GET /clean HTTP/1.1\r\nHost: a\r\n\r\n");
  await asked.waitFor(before + 1, false);
  assert.equal(asked.answers[before]?.body, "clean", "an innocent request got another answer");
  assert.equal(asked.rest, "");
  if (client === undefined) asked.destroy();
}

async function runCase(one: SplittingCase, index: number, port: number): Promise<void> {
  const client = new RawClient(port, [one.method]);
  try {
    client.write(`${one.method} /${index} HTTP/1.1\r\nHost: a\r\n\r\n`);
    if (one.client === "cut") {
      await until("the end of a cut answer", () => client.isClosed, 10_000);
      assert.equal(client.answers.length, 0, "a cut answer looks whole");
    } else {
      const [status, body] = one.client;
      await client.waitFor(1, false);
      const [got] = client.answers;
      assert.equal(got?.status, status);
      if (status !== 502) assert.equal(got.body, body);
      assert.doesNotMatch(`${got.head}${got.body}`, /evil=1|EVIL/);
      // Whatever is still on its way from the server must hit nobody.
      await sleep(one.pieces.length * PAUSE_MS);
      assert.equal(client.rest, "", "bytes behind the answer");
      if (!client.isClosed) await askClean(port, client);
    }
  } finally {
    client.destroy();
  }
  await askClean(port);
  await askClean(port);
}

it(`${SPLITTING.length} answers that must not become two`, async (t) => {
  const port = await startRawServer(t, (socket, line) => {
    const index = /^(?:GET|HEAD) \/(\d+) HTTP\/1\.1$/.exec(line)?.[1];
    const one = SPLITTING[Number(index ?? "-1")];
    if (one === undefined) socket.write(line === "GET /clean HTTP/1.1" ? CLEAN : EVIL);
    else void write(socket, one);
  });
  const failures: string[] = [];
  for (const [index, one] of SPLITTING.entries()) {
    try {
      await runCase(one, index, port);
    } catch (error) {
      failures.push(`${one.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  assert.deepEqual(failures, []);
});

it("an answer before the body: the rest of the body is nobody's next request", async (t) => {
  const lines: string[] = [];
  const port = await startRawServer(t, (socket, line) => {
    lines.push(line);
    socket.write(line === "GET /clean HTTP/1.1" ? CLEAN : "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
  });
  const hidden = "GET /HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n";
  const client = new RawClient(port);
  atEnd(t, () => client.destroy());
  client.write(`POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: ${hidden.length}\r\n\r\nGE`);
  await client.waitFor(1, false);
  client.write(hidden.slice(2));
  await askClean(port, client.isClosed ? undefined : client);
  await askClean(port);
  assert.equal(client.answers[0]?.body, "early");
  assert.deepEqual(lines, ["POST /first HTTP/1.1", "GET /clean HTTP/1.1", "GET /clean HTTP/1.1"]);
});

const UPGRADE = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
const KEY = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const HIDDEN = "GET /HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n";

interface Upgrade {
  readonly name: string;
  readonly request: string;
  readonly answer: string;
  readonly status: number;
  /** What the server sees behind the head of the request, once the client has its answer. */
  readonly tunnel: string;
}

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

const UPGRADES: readonly Upgrade[] = [
  { name: "bytes ahead of 101 wait for it", request: UPGRADE + KEY, answer: SWITCH, status: 101, tunnel: HIDDEN },
  { name: "bytes ahead of a refusal are nobody's", request: UPGRADE + KEY, answer: CLEAN, status: 200, tunnel: "" },
  {
    name: "bytes ahead of a refusal with an error are nobody's",
    request: UPGRADE + KEY,
    answer: "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
    status: 426,
    tunnel: "",
  },
  {
    name: "101 to another protocol is an error",
    request: UPGRADE + KEY,
    answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    status: 502,
    tunnel: "",
  },
  {
    name: "101 without a protocol is an error",
    request: UPGRADE + KEY,
    answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
    status: 502,
    tunnel: "",
  },
  {
    name: "101 that Connection does not confirm is an error",
    request: UPGRADE + KEY,
    answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    status: 502,
    tunnel: "",
  },
];

it("upgrades: nothing is a tunnel before both sides say so", async (t) => {
  let upgrade: Upgrade | undefined;
  let tunnel = "";
  const lines: string[] = [];
  const port = await startRawServer(t, (socket, line, rest) => {
    lines.push(line);
    if (line === "GET /clean HTTP/1.1") {
      socket.write(CLEAN);
      return;
    }
    tunnel += rest;
    socket.removeAllListeners("data");
    socket.on("data", (bytes: Buffer) => (tunnel += bytes.toString("latin1")));
    setTimeout(() => socket.write(upgrade?.answer ?? ""), PAUSE_MS);
  });
  for (const one of UPGRADES) {
    upgrade = one;
    tunnel = "";
    lines.length = 0;
    const client = new RawClient(port);
    client.write(`${one.request}\r\n${HIDDEN}`);
    await client.waitFor(1, one.status !== 101);
    assert.equal(client.answers[0]?.status, one.status, one.name);
    if (one.status === 101) await until("the tunnel is open", () => tunnel !== "");
    client.destroy();
    await askClean(port);
    assert.equal(tunnel, one.tunnel, one.name);
    assert.deepEqual(lines, ["GET /socket HTTP/1.1", "GET /clean HTTP/1.1"], one.name);
  }
  lines.length = 0;
  const client = new RawClient(port);
  client.write(`${UPGRADE}\r\n${HIDDEN}`);
  await client.waitFor(1, true);
  assert.equal(client.answers[0]?.status, 400, "a WebSocket without a key");
  await askClean(port);
  assert.deepEqual(lines, ["GET /clean HTTP/1.1"]);
});
