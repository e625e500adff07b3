// TLS towards clients: takes accepted sockets, whose first bytes may have been looked at, through the handshake.
import { constants, createHash } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { DownstreamTls } from "#config/model/tls.ts";
import type { Clock } from "#lib/clock.ts";
import { describeError } from "#lib/errors.ts";
import { TimerWheel, WheelTimer } from "#lib/timer-wheel.ts";
import { makeWireError, toWireError } from "#proxy/wire/wire-error.ts";
import type { WireError, WireTls } from "#proxy/wire/wire.ts";
import { KnownCertificates } from "./certificate-facts.ts";
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

/** Limits of handshakes are seconds: they may be late by one tick. */
const TICK_MS = 100;
const SLOTS = 64;

/** The server as one connection sees it: what Node emits on it reaches that connection's handshake. */
interface ServerOfOne extends Server {
  handshake: Handshake;
}

/**
 * Node verifies client certificates only within a `tls.Server`, so one is fed by hand (`emit("connection")`, as the http
 * modules do) and never listens. It is made anew when a secret changes, and with it the keys of session tickets.
 *
 * Node does not say which accepted socket a secure one came from. So each connection is fed to an object of its own that
 * inherits from the server: events come back with that as `this`. (A map by addresses cost four system calls a connection,
 * and V8's map kept connections that were over alive through young collections.)
 */
export class DownstreamTlsContext {
  readonly #tls: DownstreamTls;
  readonly #clock: Clock;
  readonly #material: MaterialSource;
  readonly #checkNames: NameCheck;
  readonly #ticketKeys: TicketKeys;
  #server: Server | undefined = undefined;
  readonly #known = new KnownCertificates();
  readonly #timers: TimerWheel;
  #pending = 0;

  constructor(tls: DownstreamTls, secrets: SecretStore, clock: Clock, ticketKeys: TicketKeys = () => undefined) {
    this.#tls = tls;
    this.#clock = clock;
    this.#timers = new TimerWheel(clock, TICK_MS, SLOTS);
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
    return this.#pending;
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
    // Asked for now: a socket that is gone does not know it any more, and what failed is said with it.
    const peer = `${raw.remoteAddress ?? ""}:${raw.remotePort ?? 0}`;
    const handshake = new Handshake(raw, peer, sni, timeoutMs, callbacks, this.#onOver);
    if (raw.destroyed) {
      setImmediate(() =>
        handshake.fail(makeWireError("reset", `${handshake.what}: the peer closed the connection`, "ECONNRESET")),
      );
      return;
    }
    let server: Server;
    try {
      server = this.#getServer();
    } catch (error) {
      const failure = makeWireError("tls", `${handshake.what}: ${describeError(error)}`, "HDL_TLS_NOT_READY");
      setImmediate(() => handshake.fail(failure));
      return;
    }
    this.#pending++;
    if (timeoutMs > 0) this.#timers.start(handshake, timeoutMs);
    // as: what a new object has of its own, and what it inherits.
    const own = Object.create(server) as ServerOfOne;
    own.handshake = handshake;
    own.emit("connection", raw);
  }

  readonly #onOver = (handshake: Handshake, socket: TLSSocket | undefined): void => {
    this.#pending--;
    this.#timers.cancel(handshake);
    if (socket === undefined) return;
    const verdict = this.#verify(socket, handshake.sni);
    if ("kind" in verdict) {
      socket.destroy();
      handshake.fail(makeWireError(verdict.kind, `${handshake.what}: ${verdict.message}`, verdict.code));
    } else handshake.callbacks.onSecure(socket, verdict);
  };

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
        known: this.#known,
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
    server.on("secureConnection", function (this: ServerOfOne, socket) {
      this.handshake.succeed(socket);
    });
    server.on("tlsClientError", function (this: ServerOfOne, error) {
      this.handshake.refuse(error);
    });
    this.#server = server;
    return server;
  }
}

type OnOver = (handshake: Handshake, socket: TLSSocket | undefined) => void;

/** One that runs; it is the timer of its own limit. */
class Handshake extends WheelTimer {
  readonly sni: string;
  readonly callbacks: HandshakeCallbacks;
  readonly #raw: Socket;
  readonly #peer: string;
  readonly #timeoutMs: number;
  readonly #onOver: OnOver;
  #isOver = false;

  constructor(
    raw: Socket,
    peer: string,
    sni: string,
    timeoutMs: number,
    callbacks: HandshakeCallbacks,
    onOver: OnOver,
  ) {
    super();
    this.#raw = raw;
    this.#peer = peer;
    this.sni = sni;
    this.#timeoutMs = timeoutMs;
    this.callbacks = callbacks;
    this.#onOver = onOver;
  }

  get what(): string {
    return `TLS handshake with ${this.#peer} failed`;
  }

  succeed(socket: TLSSocket): void {
    if (this.#isOver) {
      // Timed out: nobody waits for it.
      socket.destroy();
      return;
    }
    this.#isOver = true;
    this.#onOver(this, socket);
  }

  /** OpenSSL's reason, or the peer went away. */
  refuse(error: unknown): void {
    const failure = toWireError(this.what, error);
    this.#end(failure.kind === "other" ? makeWireError("tls", failure.message, failure.code) : failure);
  }

  override onTimer(): void {
    this.#end(makeWireError("timeout", `${this.what}: it took longer than ${this.#timeoutMs} ms`, "ETIMEDOUT"));
  }

  /** The socket goes, and whoever waits hears why. */
  fail(error: WireError): void {
    this.#raw.destroy();
    this.callbacks.onFailure(error);
  }

  #end(error: WireError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver(this, undefined);
    this.fail(error);
  }
}

function sessionIdOf(tls: DownstreamTls): string {
  const text = JSON.stringify([tls.certificate, tls.validation, tls.alpn]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
