// The HTTP/2 session that probes of gRPC and of opaque ports behind a sidecar ask on: over our own TLS, or in plaintext.
import http2, { type ClientHttp2Session } from "node:http2";
import { formatAddress } from "#config/model/address.ts";
import type { ProbeTarget } from "./probe.ts";
import { connectSocket } from "./tcp-probe.ts";

/** Rejects after the check's timeout, and before anything is sent to a peer whose identity is not the expected one. */
export async function openSession(target: ProbeTarget): Promise<ClientHttp2Session> {
  const socket = await connectSocket(target);
  const scheme = target.tls === undefined ? "http" : "https";
  const session = http2.connect(`${scheme}://${formatAddress(target)}`, { createConnection: () => socket });
  // Whoever waits for an answer hears of it too; without a listener the process would end.
  session.on("error", () => undefined);
  session.unref();
  return session;
}

/** Runs `ask` on the session, which is destroyed where it takes longer than the check may; rejects then. */
export async function withinTimeout<T>(
  { address, port, check }: ProbeTarget,
  session: ClientHttp2Session,
  ask: () => Promise<T>,
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error(`${formatAddress({ address, port })} did not answer within ${check.timeoutMs} ms`));
    session.destroy();
  }, check.timeoutMs);
  try {
    return await Promise.race([ask(), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
