// A whole sidecar under random bytes, from clients on listeners of every kind and from the servers behind it: it must stay up, lose no
// worker, and serve a normal request afterwards.
import http from "node:http";
import net from "node:net";
import tls from "node:tls";

import { describeError } from "#lib/errors.ts";
import { makeSeededRandom, type Random } from "#lib/random.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { cluster, httpListener, Proxy, tcpListener } from "../wire/proxy.ts";
import { writeFailure } from "./corpus.ts";
import { mutateBytes } from "./mutate.ts";
import { below, pick, type Target } from "./target.ts";
import { loadTarget } from "./targets.ts";

export const processTarget = "process";

/** Connections at once. */
const LANES = 16;
/** What a connection may take: most of these inputs leave the other side waiting for more. */
const CONNECTION_MS = 300;
const RESPONSE_TIMEOUT_MS = 20_000;
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
const SETTINGS = PREFACE.subarray(24);

/** Bytes of one target: a seed, changed some times. */
class Material {
  readonly #seeds: readonly Buffer[];
  readonly #target: Target;
  readonly #random: Random;

  constructor(target: Target, seeds: readonly Buffer[], random: Random) {
    this.#target = target;
    this.#seeds = seeds;
    this.#random = random;
  }

  static async of(name: string, random: Random): Promise<Material> {
    const target = await loadTarget(name);
    return new Material(target, await target.seeds(), random);
  }

  make(): Buffer {
    const random = this.#random;
    let input = pick(random, this.#seeds);
    for (let changes = below(random, 6); changes > 0; changes--) {
      input =
        random.next() < 0.5 && this.#target.mutate !== undefined
          ? this.#target.mutate(input, random)
          : mutateBytes(input, random, this.#target.words ?? [], this.#seeds);
    }
    return input;
  }
}

/** False, and said why, when the sidecar did not live through it. */
export async function runProcess(ms: number, seed: number): Promise<boolean> {
  const random = makeSeededRandom(seed);
  const [requests, answers, frames, answerFrames, hello] = await Promise.all(
    ["http1-server", "http1-client", "http2-server", "http2-client", "client-hello"].map(async (name) =>
      Material.of(name, random),
    ),
  );
  if (!requests || !answers || !frames || !answerFrames || !hello) throw new Error("no material");
  const app = http.createServer((request, response) => {
    request.resume();
    response.end("normal");
  });
  const hostile1 = net.createServer((socket) => answer(socket, () => answers.make().subarray(1)));
  const hostile2 = net.createServer((socket) => answer(socket, () => Buffer.concat([SETTINGS, answerFrames.make()])));
  const [appPort, hostile1Port, hostile2Port] = [await listen(app), await listen(hostile1), await listen(hostile2)];
  const issued = await (await makeAuthority()).issue({ dns: ["localhost"] });
  const files = { certificatePem: issued.chainPem, keyPem: issued.keyPem };
  const proxy = await Proxy.start({
    listeners: [
      httpListener("auto", "app"),
      httpListener("http1", "app", "HTTP1"),
      httpListener("http2", "app", "HTTP2"),
      httpListener("tls", "app", "AUTO", files),
      httpListener("to-hostile1", "hostile1"),
      httpListener("to-hostile2", "hostile2"),
      tcpListener("tcp", "app"),
    ],
    clusters: [cluster("app", appPort), cluster("hostile1", hostile1Port), cluster("hostile2", hostile2Port, "http2")],
  });
  const life = { hasEnded: false };
  void proxy.ended().then(() => (life.hasEnded = true));
  const attacks: readonly (() => Promise<void>)[] = [
    async () => say(proxy.port(pick(random, ["auto", "http1", "tcp"])), requests.make()),
    async () => say(proxy.port(pick(random, ["auto", "http2"])), Buffer.concat([PREFACE, frames.make()])),
    async () => say(proxy.port("tls"), hello.make()),
    async () =>
      say(proxy.port("tls"), random.next() < 0.5 ? requests.make() : Buffer.concat([PREFACE, frames.make()]), true),
    async () =>
      say(proxy.port(pick(random, ["to-hostile1", "to-hostile2"])), Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    async () => say(proxy.port(pick(random, ["auto", "http1", "http2", "tls", "tcp"])), noise(random)),
    async () => say(proxy.adminPort, requests.make()),
  ];
  let connections = 0;
  // What was said last: one of these ended it, if it has ended.
  const recent: Buffer[] = [];
  const until = performance.now() + ms;
  const lane = async (): Promise<void> => {
    while (performance.now() < until && !life.hasEnded) {
      connections++;
      // oxlint-disable-next-line no-await-in-loop -- a lane is one connection at a time
      await pick(random, attacks)();
    }
  };
  const say = async (port: number, bytes: Buffer, isTls = false): Promise<void> => {
    recent.push(bytes);
    if (recent.length > LANES * 2) recent.shift();
    return converse(port, bytes, isTls, random);
  };
  let problem: string | undefined;
  try {
    await Promise.all(Array.from({ length: LANES }, lane));
    problem = life.hasEnded ? "the sidecar has ended" : await findProblem(proxy);
  } catch (error) {
    problem = describeError(error);
  }
  await proxy.stop();
  for (const server of [app, hostile1, hostile2]) server.close();
  app.closeAllConnections();
  if (problem === undefined) {
    console.log(`ok ${processTarget}: ${connections} connections`);
    return true;
  }
  const names = recent.map((bytes) => writeFailure(processTarget, bytes));
  console.log(
    `not ok ${processTarget}: ${problem}; seed ${seed}; what was said last: ${names.at(0)} ... ${names.at(-1)}`,
  );
  return false;
}

/** What is wrong with the sidecar after all that; undefined = nothing. */
async function findProblem(proxy: Proxy): Promise<string | undefined> {
  const metrics = await ask(proxy.adminPort, "/stats/prometheus");
  const deaths = /^heddle_worker_deaths\S* (\d+)$/m.exec(metrics.body)?.[1];
  if (deaths !== "0") return `${deaths ?? "an unknown number of"} workers died`;
  for (const name of ["auto", "http1"]) {
    // oxlint-disable-next-line no-await-in-loop
    const { status, body } = await ask(proxy.port(name), "/");
    if (status !== 200 || body !== "normal") return `a normal request to ${name} was answered ${status} ${body}`;
  }
  return undefined;
}

async function ask(port: number, path: string): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) });
  return { status: response.status, body: await response.text() };
}

/** Sends these bytes, in pieces at times, and waits a little for an end. */
function converse(port: number, bytes: Buffer, isTls: boolean, random: Random): Promise<void> {
  return new Promise((resolve) => {
    const socket = isTls
      ? tls.connect({
          port,
          host: "127.0.0.1",
          rejectUnauthorized: false,
          ALPNProtocols: bytes[0] === 0x50 ? ["h2"] : [],
        })
      : net.connect(port, "127.0.0.1");
    const timer = setTimeout(() => socket.destroy(), CONNECTION_MS * random.next());
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.resume();
    const cut = random.next() < 0.5 ? below(random, bytes.length + 1) : bytes.length;
    socket.on(isTls ? "secureConnect" : "connect", () => {
      socket.write(bytes.subarray(0, cut));
      setImmediate(() => {
        if (socket.destroyed) return;
        if (random.next() < 0.3) socket.end(bytes.subarray(cut));
        else socket.write(bytes.subarray(cut));
      });
    });
  });
}

/** A server that answers whatever is said, after the first bytes, and at times ends. */
function answer(socket: net.Socket, make: () => Buffer): void {
  socket.on("error", () => undefined);
  socket.once("data", () => {
    const bytes = make();
    if ((bytes[0] ?? 0) % 2 === 0) socket.write(bytes);
    else socket.end(bytes);
    setTimeout(() => socket.destroy(), CONNECTION_MS).unref();
  });
}

function noise(random: Random): Buffer {
  return Buffer.from(Array.from({ length: 1 + below(random, 200) }, () => below(random, 256)));
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
