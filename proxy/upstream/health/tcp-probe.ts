// A health probe that connects, and may say something and wait for an answer: through TLS, with the peer's identity checked, where the endpoint has TLS.
import { connect as connectTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls, type ConnectionOptions, TLSSocket } from "node:tls";
import type { ClientTls } from "#proxy/wire/connect.ts";
import type { MakeProbe, ProbeTarget } from "./probe.ts";

export const makeTcpProbe = ((target) => ({
  async check() {
    const socket = await connectSocket(target);
    try {
      await converse(socket, target);
    } finally {
      socket.destroy();
    }
    return "healthy" as const;
  },
  close: () => undefined,
})) satisfies MakeProbe;

/** What an answer may have around the parts that are looked for. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Sends what is to be sent, and resolves when all parts of the answer came, in order; rejects after the timeout. */
export async function converse(
  socket: Duplex,
  { check: { check, timeoutMs }, address, port }: ProbeTarget,
): Promise<void> {
  if (check.kind !== "tcp") return;
  const { send, receive = [] } = check;
  if (send !== undefined) socket.write(Buffer.from(send, "hex"));
  if (receive.length === 0) return;
  const parts = receive.map((part) => Buffer.from(part, "hex"));
  await new Promise<void>((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const fail = (what: string): void => {
      clearTimeout(timer);
      reject(new Error(`Cannot find the expected answer of ${address}:${port}: ${what}`));
    };
    const timer = setTimeout(() => fail(`it did not come within ${timeoutMs} ms`), timeoutMs);
    socket.once("error", (error) => fail(error.message));
    socket.once("close", () => fail("it closed the connection"));
    socket.on("data", (bytes: Buffer) => {
      answer = Buffer.concat([answer, bytes]);
      if (hasParts(answer, parts)) {
        clearTimeout(timer);
        resolve();
      } else if (answer.length > MAX_ANSWER_BYTES) fail(`it is not in the first ${MAX_ANSWER_BYTES} bytes`);
    });
  });
}

/** Each behind the one before, with anything between them (Envoy: "fuzzy" matching). */
function hasParts(answer: Buffer, parts: readonly Buffer[]): boolean {
  let from = 0;
  for (const part of parts) {
    const at = answer.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return true;
}

/** An open socket, verified where there is TLS; rejects after the check's timeout. */
export function connectSocket({ address, port, tls, check }: ProbeTarget): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls === undefined ? connectTcp({ host: address, port }) : connectTls(tlsOptions(tls, address, port));
    const timer = setTimeout(() => {
      socket.destroy(new Error(`Cannot reach ${address}:${port} within ${check.timeoutMs} ms`));
    }, check.timeoutMs);
    const fail = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.once("error", fail);
    socket.once("close", () => fail(new Error(`Cannot reach ${address}:${port}: it closed the connection`)));
    socket.once(tls === undefined ? "connect" : "secureConnect", () => {
      clearTimeout(timer);
      if (tls !== undefined && socket instanceof TLSSocket) {
        const verdict = tls.verify(socket);
        if ("kind" in verdict) {
          fail(new Error(verdict.message));
          return;
        }
      }
      socket.removeAllListeners("close");
      resolve(socket);
    });
  });
}

function tlsOptions(tls: ClientTls, host: string, port: number): ConnectionOptions {
  return { ...tls.connectOptions(), host, port };
}
