// A server in a process of its own that closes idle connections, or after N requests, and counts how often it executed each request.
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";

import { monotonicMs, type Stall, StallWatch } from "./stalls.ts";

export interface UpstreamOptions {
  /**
   * `node`: node:http, which says nothing of its time; `counting`: closes right after so many answers, without a word; `announcing`:
   * node:http that says its number; `goaway`: node:http2 that ends sessions with GOAWAY; `fin`: node:http2 that just closes.
   */
  readonly kind: "node" | "counting" | "announcing" | "goaway" | "fin";
  readonly idleMs: number;
  /** The idle time varies by so much to both sides. */
  readonly jitterMs: number;
  readonly maxRequests: number;
  /** Of an HTTP/2 connection. */
  readonly maxStreams: number;
}

export interface UpstreamCounts {
  readonly executed: number;
  /** Requests other than GET that were executed more than once. */
  readonly twice: number;
  /** Connection -> when it was closed, by `monotonicMs`. */
  readonly closes: Readonly<Record<string, number>>;
  /** When its process stood still. */
  readonly stalls: readonly Stall[];
}

/** One server, and what it says of itself. */
export interface Upstream {
  readonly port: number;
  count(): Promise<UpstreamCounts>;
}

/** Several servers in one process of their own. */
export class Upstreams {
  readonly all: readonly Upstream[];
  readonly #child: ChildProcess;
  readonly #asking = new Map<number, (counts: UpstreamCounts) => void>();

  private constructor(child: ChildProcess, ports: readonly number[]) {
    this.#child = child;
    this.all = ports.map((port) => ({ port, count: () => this.#count(port) }));
    child.on("message", (said: { readonly port: number; readonly counts: UpstreamCounts }) =>
      this.#asking.get(said.port)?.(said.counts),
    );
  }

  static async start(options: readonly UpstreamOptions[]): Promise<Upstreams> {
    const child = fork(import.meta.filename, [JSON.stringify(options)]);
    const [ports] = (await once(child, "message")) as [readonly number[]]; // as: what it sends first
    return new Upstreams(child, ports);
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }

  #count(port: number): Promise<UpstreamCounts> {
    const { promise, resolve } = Promise.withResolvers<UpstreamCounts>();
    this.#asking.set(port, resolve);
    this.#child.send(port);
    return promise;
  }
}

/** Held requests are answered when none has come for so long, one after the other. */
const QUIET_MS = 150;
const SPREAD_MS = 150;

const stalls = new StallWatch();

class Counter {
  readonly closes: Record<string, number> = {};
  executed = 0;
  #connections = 0;
  readonly #executions = new Map<string, number>();
  #held: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  nameConnection(): string {
    return String(++this.#connections);
  }

  execute(method: string, id: string): void {
    this.executed++;
    if (method !== "GET") this.#executions.set(id, (this.#executions.get(id) ?? 0) + 1);
  }

  /** Answers when all have come, so that each needs a connection of its own. */
  hold(answer: () => void): void {
    this.#held.push(answer);
    this.#timer ??= setTimeout(() => this.#release(), QUIET_MS);
    this.#timer.refresh();
  }

  counts(): UpstreamCounts {
    let twice = 0;
    for (const times of this.#executions.values()) if (times > 1) twice++;
    return { executed: this.executed, twice, closes: this.closes, stalls: stalls.all };
  }

  #release(): void {
    this.#timer = undefined;
    const held = this.#held;
    this.#held = [];
    for (const [i, answer] of held.entries()) setTimeout(answer, (i * SPREAD_MS) / held.length);
  }
}

function serve(options: UpstreamOptions, counter: Counter): net.Server {
  const idleMs = (): number => options.idleMs + (Math.random() * 2 - 1) * options.jitterMs;
  switch (options.kind) {
    case "node":
    case "announcing":
      return serveNode(options, counter, idleMs);
    case "counting":
      return serveCounting(options.maxRequests, counter);
    case "goaway":
    case "fin":
      return serveHttp2(options, counter, idleMs);
  }
}

function serveNode({ kind, maxRequests }: UpstreamOptions, counter: Counter, idleMs: () => number): net.Server {
  const names = new WeakMap<net.Socket, string>();
  const server = http.createServer({ keepAliveTimeoutBuffer: 0 }, (request, response) => {
    counter.execute(request.method ?? "", String(request.headers["x-id"]));
    const answer = (): void => {
      server.keepAliveTimeout = idleMs();
      // With a Connection of our own, Node does not add its Keep-Alive.
      if (kind === "node") response.setHeader("connection", "keep-alive");
      response.setHeader("x-connection", names.get(request.socket) ?? "");
      response.setHeader("x-answered", monotonicMs());
      response.end("ok");
    };
    request.resume().on("end", () => {
      if (request.headers["x-hold"] === undefined) answer();
      else counter.hold(answer);
    });
  });
  if (kind === "announcing") server.maxRequestsPerSocket = maxRequests;
  server.on("connection", (socket: net.Socket) => {
    const name = counter.nameConnection();
    names.set(socket, name);
    socket.on("timeout", () => (counter.closes[name] = monotonicMs()));
  });
  return server;
}

function serveCounting(maxRequests: number, counter: Counter): net.Server {
  return net.createServer((socket) => {
    const name = counter.nameConnection();
    let text = "";
    let requests = 0;
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (;;) {
        const end = text.indexOf("\r\n\r\n");
        const length = Number(/\r\ncontent-length: (\d+)/i.exec(text)?.[1] ?? "0");
        if (end < 0 || text.length < end + 4 + length || requests === maxRequests) return;
        const head = text.slice(0, end);
        text = text.slice(end + 4 + length);
        counter.execute(head.slice(0, head.indexOf(" ")), /\r\nx-id: (\S+)/i.exec(head)?.[1] ?? "");
        socket.write(
          `HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-connection: ${name}\r\nx-answered: ${monotonicMs()}\r\n\r\nok`,
        );
        if (++requests < maxRequests) continue;
        setTimeout(() => {
          counter.closes[name] = monotonicMs();
          socket.destroy();
        }, Math.random() * 2);
      }
    });
  });
}

function serveHttp2({ kind, maxStreams }: UpstreamOptions, counter: Counter, idleMs: () => number): net.Server {
  const server = http2.createServer({ settings: { maxConcurrentStreams: maxStreams } });
  const sockets: net.Socket[] = [];
  server.on("connection", (socket: net.Socket) => void sockets.push(socket));
  server.on("session", (session) => {
    const name = counter.nameConnection();
    const socket = sockets.shift();
    let idle: NodeJS.Timeout | undefined;
    let running = 0;
    session.on("error", () => undefined);
    session.on("close", () => clearTimeout(idle));
    session.on("stream", (stream, headers) => {
      clearTimeout(idle);
      running++;
      counter.execute(String(headers[":method"]), String(headers["x-id"]));
      const answer = (): void => {
        running--;
        if (stream.destroyed) return;
        stream.respond({ ":status": 200, "x-connection": name, "x-answered": monotonicMs() });
        stream.end("ok");
        if (running > 0) return;
        idle = setTimeout(() => {
          counter.closes[name] = monotonicMs();
          if (kind === "goaway") session.close();
          else socket?.destroySoon();
        }, idleMs());
      };
      stream.on("error", () => undefined);
      stream.resume();
      if (headers["x-hold"] === undefined) answer();
      else counter.hold(answer);
    });
  });
  return server;
}

async function serveAll(all: readonly UpstreamOptions[]): Promise<void> {
  stalls.start();
  const counters = new Map<number, Counter>();
  process.once("disconnect", () => process.exit());
  process.on("message", (port: number) => process.send?.({ port, counts: counters.get(port)?.counts() }));
  for (const options of all) {
    const counter = new Counter();
    const server = serve(options, counter);
    server.listen(0, "127.0.0.1", 4096);
    await once(server, "listening");
    counters.set((server.address() as net.AddressInfo).port, counter); // as: a TCP server that listens
  }
  process.send?.(Array.from(counters.keys()));
}

if (process.send !== undefined && process.argv[1] === import.meta.filename)
  await serveAll(JSON.parse(process.argv[2] ?? "[]") as UpstreamOptions[]); // as: `start` wrote it
