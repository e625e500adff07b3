// What is known of a peer after the handshake, and whether it may be trusted: also for resumed sessions, where OpenSSL looks at
// no certificate again.
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { ValidationSource } from "#config/model/tls.ts";
import { makeWireError } from "#proxy/wire/wire-error.ts";
import type { WireError, WireTls } from "#proxy/wire/wire.ts";
import { readFacts, type CertificateFacts, type KnownCertificates } from "./certificate-facts.ts";
import type { NameCheck } from "./subject-names.ts";

export interface PeerExpectation {
  readonly validation: ValidationSource | undefined;
  readonly isCertificateRequired: boolean;
  readonly checkNames: NameCheck;
  readonly localIdentity: string | undefined;
  readonly sni: string;
  readonly wallMs: number;
  readonly known: KnownCertificates;
  /** The certificate of the session that is resumed: a client is not shown it again. */
  readonly resumedCertificate?: X509Certificate | undefined;
}

/** `socket.authorized` says whether the chain leads to a root of ours; the rest is looked at here. */
export function checkPeer(socket: TLSSocket, expected: PeerExpectation): WireTls | WireError {
  const certificate =
    socket.getPeerX509Certificate() ?? (socket.isSessionReused() ? expected.resumedCertificate : undefined);
  if (expected.validation === undefined) return new PeerInfo(socket, expected, certificate, undefined);
  if (certificate === undefined) {
    if (!expected.isCertificateRequired) return new PeerInfo(socket, expected, undefined, undefined);
    return refuse("the peer showed no certificate", "ERR_TLS_NO_PEER_CERTIFICATE");
  }
  const facts = socket.authorized ? expected.known.get(certificate) : readFacts(certificate);
  if (!expected.validation.acceptUntrusted) {
    if (!socket.authorized) {
      const reason = String(socket.authorizationError ?? "not verified");
      return refuse(`the certificate of ${facts.shown} is not trusted: ${reason}`, codeOf(socket.authorizationError));
    }
    if (expected.wallMs > facts.notAfterMs) {
      const since = new Date(facts.notAfterMs).toISOString();
      return refuse(`the certificate of ${facts.shown} expired at ${since}`, "CERT_HAS_EXPIRED");
    }
  }
  const mismatch = expected.checkNames(facts.names);
  if (mismatch !== undefined) return refuse(mismatch, "ERR_TLS_CERT_ALTNAME_INVALID");
  return new PeerInfo(socket, expected, certificate, socket.authorized ? facts : undefined);
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
    verified: CertificateFacts | undefined,
  ) {
    this.#socket = socket;
    this.alpn = typeof socket.alpnProtocol === "string" ? socket.alpnProtocol : "";
    this.sni = expected.sni;
    this.isResumed = socket.isSessionReused();
    this.isPeerVerified = verified !== undefined;
    this.peerIdentity = verified?.identity;
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
