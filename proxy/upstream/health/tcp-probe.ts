// A health probe that only connects: through TLS, with the peer's identity checked, where the endpoint has TLS.
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, TLSSocket } from "node:tls";
import type { ClientTls } from "#proxy/wire/connect.ts";
import type { MakeProbe, ProbeTarget } from "./probe.ts";

export const makeTcpProbe = ((target) => ({
  async check() {
    const socket = await connectSocket(target);
    socket.destroy();
    return "healthy" as const;
  },
  close: () => undefined,
})) satisfies MakeProbe;

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
