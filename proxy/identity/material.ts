// What makes up a proxy's identity, and whether it holds together: key, chain, bundle.
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { CertificateSecret } from "#config/model/tls.ts";

/** A certificate with its key, and the roots of the mesh. `generation` grows with each replacement in this process. */
export interface IdentityMaterial {
  readonly certificate: CertificateSecret;
  readonly bundlePem: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly generation: number;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The certificates of a PEM text, in order. @throws for one that cannot be read. */
function splitPem(pem: string): X509Certificate[] {
  return (pem.match(CERTIFICATE) ?? []).map((text) => new X509Certificate(text));
}

/** True when `pem` has a certificate that `bundlePem` has not. @throws for one that cannot be read. */
export function hasRootsBeyond(pem: string, bundlePem: string): boolean {
  const known = new Set(splitPem(bundlePem).map(({ fingerprint256 }) => fingerprint256));
  return splitPem(pem).some(({ fingerprint256 }) => !known.has(fingerprint256));
}

/**
 * Checks that the chain is for this key and this identity, leads to the bundle, and has not ended.
 * @throws with the first thing that is wrong.
 */
export function makeMaterial(
  certificate: CertificateSecret,
  bundlePem: string,
  spiffeId: string,
  nowMs: number,
  generation: number,
): IdentityMaterial {
  const chain = splitPem(certificate.chainPem);
  const [leaf] = chain;
  if (leaf === undefined) throw new Error("the chain holds no certificate");
  if (!leaf.checkPrivateKey(createPrivateKey(certificate.keyPem)))
    throw new Error("the certificate is for another key");
  if (leaf.subjectAltName !== `URI:${spiffeId}`) {
    throw new Error(`the certificate is for ${leaf.subjectAltName ?? "nobody"}, not for ${spiffeId}`);
  }
  const notAfterMs = leaf.validToDate.getTime();
  if (notAfterMs <= nowMs) throw new Error(`the certificate ended at ${leaf.validToDate.toISOString()}`);
  checkChain(chain, splitPem(bundlePem));
  return { certificate, bundlePem, notBeforeMs: leaf.validFromDate.getTime(), notAfterMs, generation };
}

function checkChain(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): void {
  if (roots.length === 0) throw new Error("the bundle holds no root");
  for (const [at, certificate] of chain.entries()) {
    if (roots.some((root) => isIssuedBy(certificate, root))) return;
    const next = chain[at + 1];
    if (next === undefined || !isIssuedBy(certificate, next)) break;
  }
  throw new Error("the chain does not lead to a root of the bundle");
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
