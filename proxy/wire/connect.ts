// Opens connections, plain and TLS, with one time limit over everything until bytes can flow.
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import { SocketWire } from "./socket-wire.ts";
import { onreadOf } from "./onread.ts";
import type { Wire, WireError, WireTls } from "./wire.ts";
import { makeWireError, toWireError } from "./wire-error.ts";
import type { WireLoop } from "./wire-loop.ts";

/** TLS as a client, for one peer: made by proxy/tls, which knows certificates and names. */
export interface ClientTls {
  /** For `tls.connect`: the current context, server name, ALPN and a session to resume. */
  connectOptions(): ConnectionOptions;
  /** The handshake is over: what is known of the peer, or why it must not be trusted. */
  verify(socket: TLSSocket): WireTls | WireError;
  /** A ticket came that a later connection may resume. */
  saveSession(session: Buffer): void;
}

export interface ConnectOptions {
  /** Until TCP, and TLS if asked for, are ready. */
  readonly timeoutMs: number;
  readonly tls?: ClientTls | undefined;
  /** Source address, as 127.0.0.6 for the way into the application. */
  readonly localAddress?: string | undefined;
}

export interface ConnectCallbacks {
  onConnected(wire: Wire): void;
  onFailure(error: WireError): void;
}

/** `cancel` drops the attempt; no callback follows. */
export interface Connecting {
  cancel(): void;
}

/** Connects to an IP address; calls back exactly once, never before it returns, unless cancelled. */
export function connectWire(
  loop: WireLoop,
  target: SocketAddress,
  options: ConnectOptions,
  callbacks: ConnectCallbacks,
): Connecting {
  const what = `Cannot connect to ${formatAddress(target)}`;
  let wire: SocketWire | undefined;
  let isSettled = false;
  // What TLS gives is never large: a record.
  const onread = onreadOf(loop, () => wire);
  const address = {
    host: target.address,
    port: target.port,
    family: isIP(target.address),
    allowHalfOpen: true,
    noDelay: true,
    onread,
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  };
  let socket: Socket;
  const fail = (error: WireError): void => {
    if (isSettled) return;
    isSettled = true;
    timer.cancel();
    socket.destroy();
    callbacks.onFailure(error);
  };
  const succeed = (tls: WireTls | undefined): void => {
    if (isSettled) return;
    isSettled = true;
    timer.cancel();
    socket.pause();
    wire = new SocketWire(loop, socket, { tls, remote: target, usesOnread: true });
    socket.off("error", onError);
    socket.off("close", onEarlyClose);
    callbacks.onConnected(wire);
  };
  const onError = (error: Error): void => fail(toFailure(what, error, options.tls !== undefined && isTcpUp));
  const onEarlyClose = (): void => fail(makeWireError("reset", `${what}: the peer closed during the handshake`));
  let isTcpUp = false;
  const timer = loop.clock.setTimer(options.timeoutMs, () => {
    const phase = isTcpUp ? "the TLS handshake" : "the TCP handshake";
    fail(makeWireError("timeout", `${what}: ${phase} took longer than ${options.timeoutMs} ms`, "ETIMEDOUT"));
  });
  const clientTls = options.tls;
  try {
    if (clientTls === undefined) {
      socket = connectTcp(address);
      socket.once("connect", () => succeed(undefined));
    } else {
      const secure = connectTls({ ...address, ...clientTls.connectOptions() } as ConnectionOptions);
      socket = secure;
      secure.once("connect", () => (isTcpUp = true));
      secure.on("session", (session: Buffer) => clientTls.saveSession(session));
      secure.once("secureConnect", () => {
        const verdict = clientTls.verify(secure);
        if ("kind" in verdict) fail(makeWireError(verdict.kind, `${what}: ${verdict.message}`, verdict.code));
        else succeed(verdict);
      });
    }
  } catch (error) {
    // A bad address or an unusable certificate throws at once.
    timer.cancel();
    setImmediate(() => {
      if (!isSettled) callbacks.onFailure(toWireError(what, error));
    });
    return { cancel: () => (isSettled = true) };
  }
  socket.on("error", onError);
  socket.on("close", onEarlyClose);
  return {
    cancel(): void {
      if (isSettled) return;
      isSettled = true;
      timer.cancel();
      socket.destroy();
    },
  };
}

/** During a TLS handshake anything but a lost connection is TLS's own. */
function toFailure(what: string, error: Error, isHandshake: boolean): WireError {
  const failure = toWireError(what, error);
  if (!isHandshake || failure.kind !== "other") return failure;
  return makeWireError("tls", failure.message, failure.code);
}
