// A connection behind one small interface: the only thing that the rest of the proxy knows of sockets.
import type { X509Certificate } from "node:crypto";
import type { SocketAddress } from "#config/model/address.ts";
import type { Outbox } from "#lib/http/stream.ts";

/**
 * One open connection, plain or TLS. It reads nothing before `attach`. All calls are harmless after it has closed.
 *
 *     attach -> onBytes* onEnd? ... onClose          (onClose exactly once, after everything else)
 */
export interface Wire {
  /** What is written here leaves with one socket write at the end of the event-loop turn. */
  readonly out: WireOutbox;
  readonly info: WireInfo;
  /** Sets who is told what arrives, and starts reading. May be called again to hand the wire to another protocol. */
  attach(handler: WireHandler): void;
  /** False leaves bytes in the kernel, so that the peer feels it. */
  setReading(isReading: boolean): void;
  /** The same throughout one turn of the event loop. */
  readonly turn: number;
  /** Reads nothing more in this turn; the next begins with the handler's `onTurn`. */
  rest(): void;
  /** Half-close: FIN after what is pending; reading goes on. */
  end(): void;
  /**
   * Writes what is pending, sends FIN, discards what still comes and closes, at the latest after `lingerMs` (the loop's
   * default without it; 0 = as soon as everything is written, as Envoy's `delayed_close_timeout`).
   */
  close(lingerMs?: number): void;
  /** Closes at once and drops what is pending. With an error the peer gets RST, and `onClose` gets the error. */
  destroy(error?: WireError): void;
  readonly isClosed: boolean;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

export interface WireOutbox extends Outbox {
  /** Hands everything to the socket now instead of at the end of the turn. */
  flush(): void;
}

/** Who is told. Calls come from the event loop, never from within a call to the wire. */
export interface WireHandler {
  /** The bytes lie in a buffer that is used again as soon as this returns. */
  onBytes(bytes: Buffer, start: number, end: number): void;
  /** The peer sent FIN. */
  onEnd(): void;
  /** The kernel has taken everything that was pending. */
  onDrain(): void;
  /** The turn after a `rest`, before more is read. */
  onTurn?(): void;
  /** The connection is gone in both directions. */
  onClose(error: WireError | undefined): void;
}

/** Addresses are written without `::ffff:`. Everything is looked up when first asked for. */
export interface WireInfo {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Where the client wanted to go before it was redirected to us; undefined outside capture. */
  readonly originalDestination: SocketAddress | undefined;
  readonly tls: WireTls | undefined;
}

export interface WireTls {
  /** The protocol chosen by ALPN; "" = none. */
  readonly alpn: string;
  /** The server name that the client asked for; "" = none. */
  readonly sni: string;
  readonly isResumed: boolean;
  /** `TLSv1.3` and the cipher's standard name, for logs. */
  readonly version: string;
  readonly cipher: string;
  /** The peer's certificate was verified against our roots and its names against those expected. */
  readonly isPeerVerified: boolean;
  /** The SPIFFE id (URI SAN) of a verified peer. */
  readonly peerIdentity: string | undefined;
  readonly peerCertificate: X509Certificate | undefined;
  readonly peerCertificatePem: string | undefined;
  /** The SPIFFE id of the certificate that we showed. */
  readonly localIdentity: string | undefined;
}

export type WireErrorKind = "refused" | "unreachable" | "timeout" | "reset" | "tls" | "aborted" | "other";

/** Why a connection could not be made or died. A value, without a stack. */
export interface WireError {
  readonly kind: WireErrorKind;
  /** What was tried, on what, and what happened. */
  readonly message: string;
  /** The system's or OpenSSL's code: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
  readonly code: string;
}
