// What is known of a peer after the handshake, and whether it may be trusted: also for resumed sessions, where OpenSSL looks at
// no certificate again.
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { ValidationSource } from "#config/model/tls.ts";
import { makeWireError } from "#proxy/wire/wire-error.ts";
import type { WireError, WireTls } from "#proxy/wire/wire.ts";
import { type NameCheck, spiffeIdOf, subjectNamesOf } from "./subject-names.ts";

export interface PeerExpectation {
  readonly validation: ValidationSource | undefined;
  readonly isCertificateRequired: boolean;
  readonly checkNames: NameCheck;
  readonly localIdentity: string | undefined;
  readonly sni: string;
  readonly wallMs: number;
  /** The certificate of the session that is resumed: a client is not shown it again. */
  readonly resumedCertificate?: X509Certificate | undefined;
}

/** `socket.authorized` says whether the chain leads to a root of ours; the rest is looked at here. */
export function checkPeer(socket: TLSSocket, expected: PeerExpectation): WireTls | WireError {
  const certificate =
    socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? expected.resumedCertificate : undefined);
  const isTrusted = expected.validation !== undefined && certificate !== undefined;
  if (expected.validation === undefined) return describe(socket, expected, certificate, false);
  if (certificate === undefined) {
    if (!expected.isCertificateRequired) return describe(socket, expected, undefined, false);
    return refuse("the peer showed no certificate", "ERR_TLS_NO_PEER_CERTIFICATE");
  }
  const shown = certificate.subjectAltName ?? certificate.subject;
  if (!expected.validation.acceptUntrusted) {
    if (!socket.authorized) {
      const reason = String(socket.authorizationError ?? "not verified");
      return refuse(`the certificate of ${shown} is not trusted: ${reason}`, codeOf(socket.authorizationError));
    }
    const notAfterMs = Date.parse(certificate.validTo);
    if (expected.wallMs > notAfterMs) {
      return refuse(`the certificate of ${shown} expired at ${new Date(notAfterMs).toISOString()}`, "CERT_HAS_EXPIRED");
    }
  }
  const mismatch = expected.checkNames(subjectNamesOf(certificate));
  if (mismatch !== undefined) return refuse(mismatch, "ERR_TLS_CERT_ALTNAME_INVALID");
  return describe(socket, expected, certificate, isTrusted && socket.authorized);
}

function describe(
  socket: TLSSocket,
  expected: PeerExpectation,
  certificate: X509Certificate | undefined,
  isPeerVerified: boolean,
): WireTls {
  return new PeerInfo(socket, expected, certificate, isPeerVerified);
}

class PeerInfo implements WireTls {
  readonly alpn: string;
  readonly sni: string;
  readonly isResumed: boolean;
  readonly isPeerVerified: boolean;
  readonly peerIdentity: string | undefined;
  readonly peerCertificate: X509Certificate | undefined;
  readonly localIdentity: string | undefined;
  readonly #socket: TLSSocket;

  constructor(
    socket: TLSSocket,
    expected: PeerExpectation,
    certificate: X509Certificate | undefined,
    isPeerVerified: boolean,
  ) {
    this.#socket = socket;
    this.alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
    this.sni = expected.sni;
    this.isResumed = socket.isSessionReused();
    this.isPeerVerified = isPeerVerified;
    this.peerIdentity =
      isPeerVerified && certificate !== undefined ? spiffeIdOf(subjectNamesOf(certificate)) : undefined;
    this.peerCertificate = certificate;
    this.localIdentity = expected.localIdentity;
  }

  get version(): string {
    return this.#socket.getProtocol() ?? "";
  }

  get cipher(): string {
    return this.#socket.getCipher()?.standardName ?? "";
  }

  get peerCertificatePem(): string | undefined {
    return this.peerCertificate?.toString();
  }
}

function refuse(message: string, code: string): WireError {
  return makeWireError("tls", message, code);
}

function codeOf(error: unknown): string {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return typeof error === "string" ? error : "";
}
