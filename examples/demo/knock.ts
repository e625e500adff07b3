// Knocks at a sidecar's mesh port as somebody who is not of the mesh, and tells what came back.
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ForgedIdentity } from "./impostor.ts";

/** What a knock got: bytes of an answer, and how the connection ended. */
export interface Knock {
  /** Bytes that the application protocol carried back (below TLS, where there is TLS). */
  readonly answer: Buffer;
  /** `closed`, an error's code, or `open` when nothing ended it in time. */
  readonly end: string;
}

/** A port that neither answers nor closes is given up after this time. */
const PATIENCE_MS = 20_000;

const HTTP1 = "GET /knock HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
/** The HTTP/2 preface and an empty SETTINGS frame. */
const HTTP2 = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

/** Speaks plaintext, HTTP/1.1 or HTTP/2. */
export function knockPlain(port: number, protocol: "http1" | "http2"): Promise<Knock> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.once("connect", () => socket.write(protocol === "http1" ? HTTP1 : HTTP2));
  return listen(socket);
}

/** Speaks TLS 1.3 with ALPN h2, with a forged certificate or with none, and asks in HTTP/2. */
export function knockTls(port: number, identity: ForgedIdentity | undefined): Promise<Knock> {
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
    // We are the attacker: whom we reach is not our concern.
    rejectUnauthorized: false,
    ...identity,
  });
  socket.once("secureConnect", () => socket.write(HTTP2));
  return listen(socket);
}

function listen(socket: Socket): Promise<Knock> {
  const { promise, resolve } = Promise.withResolvers<Knock>();
  const chunks: Buffer[] = [];
  let end = "closed";
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("error", (error) => {
    end = "code" in error ? String(error.code) : error.message;
  });
  socket.setTimeout(PATIENCE_MS, () => {
    end = "open";
    socket.destroy();
  });
  socket.on("close", () => resolve({ answer: Buffer.concat(chunks), end }));
  return promise;
}
