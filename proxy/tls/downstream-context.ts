// TLS towards clients: takes accepted sockets, whose first bytes may have been looked at, through the handshake.
import { constants, createHash } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { DownstreamTls } from "#config/model/tls.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import { makeWireError, toWireError } from "#proxy/wire/wire-error.ts";
import type { WireError, WireTls } from "#proxy/wire/wire.ts";
import { MaterialSource } from "./material.ts";
import { checkPeer } from "./peer-check.ts";
import type { SecretStore } from "./secret-store.ts";
import { compileNameCheck, type NameCheck } from "./subject-names.ts";

export interface HandshakeCallbacks {
  /** The socket is ready; the peer is who it should be. */
  onSecure(socket: TLSSocket, tls: WireTls): void;
  /** The socket is destroyed. */
  onFailure(error: WireError): void;
}

/** 48 bytes, the same in all workers, replaced with the bundle or the authorization epoch (contracts.md: pools and identity). */
export type TicketKeys = () => Buffer | undefined;

interface Waiting {
  settle(socket: TLSSocket | undefined, error: unknown): void;
}

/**
 * Node verifies client certificates only within a `tls.Server`, so one is fed by hand (`emit("connection")`, as the http
 * modules do) and never listens. It is made anew when a secret changes, and with it the keys of session tickets.
 */
export class DownstreamTlsContext {
  readonly #tls: DownstreamTls;
  readonly #clock: Clock;
  readonly #material: MaterialSource;
  readonly #checkNames: NameCheck;
  readonly #ticketKeys: TicketKeys;
  #server: Server | undefined = undefined;
  /** Handshakes that run, by the two ports and addresses: the one thing that both sockets show publicly. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(tls: DownstreamTls, secrets: SecretStore, clock: Clock, ticketKeys: TicketKeys = () => undefined) {
    this.#tls = tls;
    this.#clock = clock;
    this.#ticketKeys = ticketKeys;
    // TLS 1.2: a client that renegotiates without end costs us ten times what it costs itself (BoringSSL has none of it either).
    const secureOptions = constants.SSL_OP_NO_RENEGOTIATION | (tls.sessionTickets ? 0 : constants.SSL_OP_NO_TICKET);
    this.#material = new MaterialSource(tls, secrets, { secureOptions }, () => this.renewTickets());
    this.#checkNames = compileNameCheck(tls.validation?.subjectAltNames ?? []);
  }

  get generation(): number {
    return this.#material.generation;
  }

  get pendingHandshakes(): number {
    return this.#waiting.size;
  }

  /** New connections get new ticket keys: sessions from before are not resumed. */
  renewTickets(): void {
    this.#server = undefined;
  }

  dispose(): void {
    this.#material.dispose();
    this.#server = undefined;
  }

  /** Calls back exactly once, never before it returns. `sni` is what the ClientHello said; `timeoutMs` 0 = no limit. */
  accept(raw: Socket, sni: string, timeoutMs: number, callbacks: HandshakeCallbacks): void {
    const peer = `${raw.remoteAddress ?? ""}:${raw.remotePort ?? 0}`;
    const what = `TLS handshake with ${peer} failed`;
    const key = keyOf(raw);
    let server: Server;
    try {
      server = this.#getServer();
    } catch (error) {
      raw.destroy();
      setImmediate(() =>
        callbacks.onFailure(makeWireError("tls", `${what}: ${describeError(error)}`, "HDL_TLS_NOT_READY")),
      );
      return;
    }
    const fail = (error: WireError): void => {
      raw.destroy();
      callbacks.onFailure(error);
    };
    const settle = (socket: TLSSocket | undefined, error: unknown): void => {
      if (this.#waiting.get(key) !== waiting) return;
      this.#waiting.delete(key);
      timer?.cancel();
      raw.off("close", onRawClose);
      raw.off("error", onRawError);
      if (socket === undefined) {
        const failure = toWireError(what, error);
        fail(failure.kind === "other" ? makeWireError("tls", failure.message, failure.code) : failure);
        return;
      }
      const verdict = this.#verify(socket, sni);
      if ("kind" in verdict) {
        socket.destroy();
        fail(makeWireError(verdict.kind, `${what}: ${verdict.message}`, verdict.code));
      } else callbacks.onSecure(socket, verdict);
    };
    const waiting: Waiting = { settle };
    const onRawClose = (): void => settle(undefined, new Error("the peer closed the connection"));
    const onRawError = (error: Error): void => settle(undefined, error);
    const timer =
      timeoutMs <= 0
        ? undefined
        : this.#clock.setTimer(timeoutMs, () => {
            if (this.#waiting.get(key) !== waiting) return;
            this.#waiting.delete(key);
            raw.off("close", onRawClose);
            fail(makeWireError("timeout", `${what}: it took longer than ${timeoutMs} ms`, "ETIMEDOUT"));
          });
    this.#waiting.set(key, waiting);
    raw.on("close", onRawClose);
    raw.on("error", onRawError);
    server.emit("connection", raw);
  }

  #verify(socket: TLSSocket, sni: string): WireTls | WireError {
    const wallMs = this.#clock.wallMs();
    const tls = this.#tls;
    try {
      return checkPeer(socket, {
        validation: tls.validation,
        isCertificateRequired: tls.requireClientCertificate,
        checkNames: this.#checkNames,
        localIdentity: this.#material.get(wallMs).localIdentity,
        sni,
        wallMs,
      });
    } catch (error) {
      return makeWireError("tls", describeError(error), "HDL_TLS_NOT_READY");
    }
  }

  #getServer(): Server {
    const material = this.#material.get(this.#clock.wallMs());
    if (this.#server !== undefined) return this.#server;
    const tls = this.#tls;
    const ticketKeys = this.#ticketKeys();
    const server = createServer({
      ...material.contextOptions,
      allowHalfOpen: true,
      requestCert: tls.validation !== undefined || tls.requireClientCertificate,
      // A peer that must not come in is refused in `checkPeer`, which says why.
      rejectUnauthorized: false,
      // Sessions belong to one configuration and its names: another listener must not resume them.
      sessionIdContext: sessionIdOf(tls),
      ...(tls.alpn.length === 0 ? {} : { ALPNProtocols: [...tls.alpn] }),
      ...(ticketKeys === undefined ? {} : { ticketKeys }),
    });
    server.on("secureConnection", (socket) => this.#settle(socket, undefined));
    server.on("tlsClientError", (error, socket) => this.#settle(socket, error));
    this.#server = server;
    return server;
  }

  #settle(socket: TLSSocket, error: unknown): void {
    const waiting = this.#waiting.get(keyOf(socket));
    if (waiting === undefined) {
      // Timed out, or gone: nobody waits for it.
      if (error === undefined) socket.destroy();
      return;
    }
    waiting.settle(error === undefined ? socket : undefined, error);
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`;
}

function sessionIdOf(tls: DownstreamTls): string {
  const text = JSON.stringify([tls.certificate, tls.validation, tls.alpn]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
