// What is read out of a peer's certificate, once for each certificate: reading it costs more than all other checks of a connection.
import type { X509Certificate } from "node:crypto";
import { spiffeIdOf, subjectNamesOf, type SubjectNames } from "./subject-names.ts";

export interface CertificateFacts {
  readonly names: SubjectNames;
  /** The SPIFFE id. */
  readonly identity: string | undefined;
  /** Unix ms. */
  readonly notAfterMs: number;
  /** Whose it is, for messages. */
  readonly shown: string;
}

/** Peers that call again: a few for each service that calls us. Beyond it all are read anew. */
const MAX_KNOWN = 256;

/** By the whole certificate, byte for byte; what stands in it, and not whether it is to be trusted. */
export class KnownCertificates {
  readonly #facts = new Map<string, CertificateFacts>();

  /** For certificates whose chain was verified: strangers must not push out the others. */
  get(certificate: X509Certificate): CertificateFacts {
    const key = certificate.raw.toString("latin1");
    const found = this.#facts.get(key);
    if (found !== undefined) return found;
    const facts = readFacts(certificate);
    if (this.#facts.size >= MAX_KNOWN) this.#facts.clear();
    this.#facts.set(key, facts);
    return facts;
  }
}

export function readFacts(certificate: X509Certificate): CertificateFacts {
  const names = subjectNamesOf(certificate);
  return {
    names,
    identity: spiffeIdOf(names),
    notAfterMs: Date.parse(certificate.validTo),
    shown: certificate.subjectAltName ?? certificate.subject,
  };
}
