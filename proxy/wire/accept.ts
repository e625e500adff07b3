// Makes wires of accepted sockets, plain and TLS. Underscores of Node are used here and in read-into.ts alone.
import { createServer, connect, Socket, type OnReadOpts, type Server, type SocketConstructorOpts } from "node:net";
import type { SocketAddress } from "#config/model/address.ts";
import type { TLSSocket } from "node:tls";
import { onreadOf } from "./onread.ts";
import { readInto } from "./read-into.ts";
import { SocketWire } from "./socket-wire.ts";
import type { WireTls } from "./wire.ts";
import type { AcceptMode, WireLoop } from "./wire-loop.ts";

/**
 * A wire on a socket that a server accepted with `pauseOnConnect` and `allowHalfOpen`. In mode "handle" its handle is given
 * to a new socket that reads into the loop's one buffer (`net.createServer({ onread })` is ignored by Node; 16 us a request
 * instead of 18 with 'data').
 */
export function acceptWire(loop: WireLoop, accepted: Socket, originalDestination?: SocketAddress): SocketWire {
  if (loop.acceptMode === "data") {
    return new SocketWire(loop, accepted, { originalDestination, usesOnread: false });
  }
  let wire: SocketWire | undefined;
  const socket = rewrap(
    accepted,
    onreadOf(loop, () => wire),
  );
  wire = new SocketWire(loop, socket, { originalDestination, usesOnread: true });
  return wire;
}

/**
 * A wire on an accepted socket whose TLS handshake is over; the socket below knows its addresses already. Node gives such a socket each record in memory of its own, whose
 * collection costs more than the decryption; in mode "handle" it reads into the loop's one buffer instead.
 */
export function acceptTlsWire(
  loop: WireLoop,
  accepted: Socket,
  secure: TLSSocket,
  tls: WireTls,
  originalDestination?: SocketAddress,
): SocketWire {
  let wire: SocketWire | undefined;
  const usesOnread =
    loop.acceptMode === "handle" &&
    readInto(secure, loop.readBuffer, (length) => wire?.receive(loop.readBuffer, length) !== false);
  wire = new SocketWire(loop, secure, { tls, usesOnread, transport: accepted, originalDestination });
  // What came in the same record as the end of the handshake.
  const early: unknown = usesOnread ? secure.read() : null;
  if (early instanceof Buffer) wire.receive(early, early.length);
  return wire;
}

/** The file descriptor of a socket, for getsockopt; -1 when it has none. */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  if (typeof handle !== "object" || handle === null || !("fd" in handle)) return -1;
  return typeof handle.fd === "number" ? handle.fd : -1;
}

function rewrap(accepted: Socket, onread: OnReadOpts): Socket {
  // `_handle` is not in the types: the self-test proves at start that it is what we think.
  const holder = accepted as unknown as { _handle: object | null };
  const handle = holder._handle;
  if (handle === null) return accepted;
  holder._handle = null;
  // Nor is the constructor's `handle`.
  const options = { handle, allowHalfOpen: true, onread };
  const socket = new Socket(options as SocketConstructorOpts);
  socket.pause();
  // Else the server counts the connection for ever and `server.close()` never calls back.
  socket.once("close", () => accepted.destroy());
  return socket;
}

/**
 * Tries on loopback whether accepted sockets can be re-wrapped on this Node, and sockets told where to read: bytes must arrive in
 * our buffers both ways, and the server must notice the end. Answers "data" when anything is amiss, within 5 s (a busy machine may stall us).
 */
export async function chooseAcceptMode(): Promise<AcceptMode> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  try {
    return await Promise.race([tryHandleMode(server), timeLimit(5000)]);
  } catch {
    return "data";
  } finally {
    server.close();
  }
}

function tryHandleMode(server: Server): Promise<AcceptMode> {
  return new Promise((resolve, reject) => {
    const buffers = [Buffer.alloc(16), Buffer.alloc(16)];
    server.once("connection", (accepted) => {
      let asked = 0;
      let reads = 0;
      try {
        const socket = rewrap(accepted, {
          // Another one after the first read, and then none.
          buffer: () => buffers[asked++] as Buffer, // as: Node goes on with what it has when given none
          callback(length, bytes) {
            if (bytes !== buffers[reads++] || length !== 4) reject(new Error("The bytes came elsewhere"));
            if (reads === 1) socket.write("pong");
            else socket.end("pong");
            return true;
          },
        });
        if (socket === accepted) throw new Error("An accepted socket has no handle");
        socket.once("error", reject);
        socket.once("end", () => socket.end());
        socket.resume();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") {
        reject(new Error("No port"));
        return;
      }
      const client = connect({ port: address.port, host: "127.0.0.1" });
      const answers = Buffer.alloc(16);
      let answer = "";
      client.once("connect", () => {
        const isRead = readInto(client, answers, (length) => {
          answer += answers.toString("latin1", 0, length);
          if (answer === "pong") client.write("ping");
          return true;
        });
        if (!isRead) reject(new Error("A socket cannot be told where to read"));
        client.resume();
      });
      client.once("error", reject);
      client.once("end", () => {
        if (answer === "pongpong") resolve("handle");
        else reject(new Error(`Wrong answer ${answer}`));
      });
      client.write("ping");
    });
  });
}

function timeLimit(delayMs: number): Promise<AcceptMode> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs, "data").unref();
  });
}
