// Attacks on a port that speaks TLS, by clients that begin honestly: real ClientHellos, then silence, floods or renegotiation.
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";

import type { Attack, AttackReport, AttackTarget } from "./attacker.ts";

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

class Tally {
  units = 0;
  connections = 0;
  bytes = 0;
  readonly saw: Record<string, number> = {};

  see(what: string): void {
    this.saw[what] = (this.saw[what] ?? 0) + 1;
  }

  get report(): AttackReport {
    const { units, connections, bytes, saw } = this;
    return { units, connections, bytes, saw };
  }
}

/** The first flight of a real client. */
async function makeHello(): Promise<Buffer> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo; // as: TCP
  const client = tls.connect({ port, host: "127.0.0.1", ALPNProtocols: ["h2"] });
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [net.Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  client.destroy();
  server.close();
  return hello;
}

/** Each connection sends `first` and then `more` again and again until it is closed. */
async function flood({ port, ms }: AttackTarget, first: Buffer, more: Buffer, everyMs: number): Promise<AttackReport> {
  const tally = new Tally();
  const sockets = new Set<net.Socket>();
  for (let i = 0; i < 100; i++) {
    const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    sockets.add(socket);
    socket.resume();
    socket.on("error", () => undefined);
    socket.on("connect", () => {
      tally.connections++;
      tally.units++;
      socket.write(first);
    });
    socket.on("close", () => {
      if (sockets.delete(socket)) tally.see("CLOSED");
    });
  }
  const end = performance.now() + ms;
  while (performance.now() < end && (sockets.size > 0 || tally.connections < 100)) {
    await sleep(everyMs);
    for (const socket of sockets) {
      if (more.length === 0 || socket.writableLength > 65_536 || socket.destroyed) continue;
      tally.units++;
      tally.bytes += more.length;
      socket.write(more);
    }
  }
  for (const socket of sockets) {
    tally.see("STAYED OPEN");
    sockets.delete(socket);
    socket.destroy();
  }
  return tally.report;
}

/** A ClientHello, and nothing more. */
export const stalled: Attack = async (target) => flood(target, await makeHello(), Buffer.alloc(0), 20);

/** A ClientHello, then records without content. */
export const emptyRecords: Attack = async (target) =>
  flood(target, await makeHello(), Buffer.from("1703030000".repeat(200), "hex"), 5);

/** A ClientHello, then the one-byte message that middle boxes like, again and again. */
export const changeCipherSpecs: Attack = async (target) =>
  flood(target, await makeHello(), Buffer.from("140303000101".repeat(200), "hex"), 5);

/** TLS 1.2 clients that ask for another handshake all the time. */
export async function renegotiation({ port, ms }: AttackTarget): Promise<AttackReport> {
  const tally = new Tally();
  const end = performance.now() + ms;
  const attackOnce = async (): Promise<void> => {
    const options = { port, host: "127.0.0.1", maxVersion: "TLSv1.2", rejectUnauthorized: false } as const;
    const socket = tls.connect(options);
    socket.on("error", () => undefined);
    await once(socket, "secureConnect");
    tally.connections++;
    let isOver = false;
    socket.once("close", () => (isOver = true));
    while (!isOver && performance.now() < end) {
      tally.units++;
      const result = await Promise.race([
        new Promise<string>((resolve) => {
          const began = socket.renegotiate({}, (error) => resolve(error === null ? "RENEGOTIATED" : "REFUSED"));
          if (began === false) resolve("REFUSED");
        }),
        once(socket, "close").then(
          () => "CLOSED",
          () => "CLOSED",
        ),
        sleep(500).then(() => "NO ANSWER"),
      ]);
      tally.see(result);
      if (result !== "RENEGOTIATED") break;
    }
    socket.destroy();
  };
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      while (performance.now() < end) {
        await attackOnce().catch(() => tally.see("FAILED"));
        await sleep(50);
      }
    }),
  );
  return tally.report;
}

/** Complete handshakes, as fast as one client makes them, without a name. */
export async function handshakes({ port, ms }: AttackTarget): Promise<AttackReport> {
  const tally = new Tally();
  const end = performance.now() + ms;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (performance.now() < end) {
        const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
        socket.on("error", () => undefined);
        tally.units++;
        const result = await Promise.race([
          once(socket, "secureConnect").then(
            () => "SECURE",
            () => "FAILED",
          ),
          once(socket, "close").then(
            () => "CLOSED",
            () => "CLOSED",
          ),
        ]);
        tally.see(result);
        if (result === "SECURE") tally.connections++;
        socket.destroy();
      }
    }),
  );
  return tally.report;
}
