// Who signs, checked whole before anything is signed: certificate, key, the authorities above it, and the roots that peers trust.
import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { describeError } from "#lib/errors.ts";
import { readPathLength, tryIssuerAlgorithm, type Issuer } from "./certificates.ts";
import { IdentityError } from "./spiffe-id.ts";

/** An issuer as it is handed in: the layout of cert-manager's Secrets. */
export interface IssuerPems {
  /** `tls.crt`: the issuer's certificate, and those of the authorities between it and a root. */
  readonly chainPem: string;
  /** `tls.key` */
  readonly keyPem: string;
  /** `ca.crt`: the roots. "": the last of the chain is one. */
  readonly rootsPem: string;
}

export interface IssuerMaterial {
  readonly issuer: Issuer;
  /** What follows a leaf in its chain: all of `chainPem` but roots. */
  readonly intermediatesPem: string;
  /** Every root that is trusted. */
  readonly bundlePem: string;
  /** When the first of those that a leaf depends on ends. */
  readonly notAfterMs: number;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws {IdentityError} with the first thing that is wrong. */
export function parseIssuer(pems: IssuerPems, nowMs: number): IssuerMaterial {
  const chain = parseCertificates("tls.crt", pems.chainPem);
  const [certificate] = chain;
  if (certificate === undefined) throw new IdentityError("The authority's tls.crt holds no certificate");
  const key = parseKey(pems.keyPem);
  if (!certificate.checkPrivateKey(key))
    throw new IdentityError("The authority's key is not the one of its certificate");
  if (tryIssuerAlgorithm(key) === undefined) {
    throw new IdentityError(`The authority's key must be RSA, ECDSA or Ed25519: got ${key.asymmetricKeyType}`);
  }
  const given = parseCertificates("ca.crt", pems.rootsPem);
  const roots = given.length > 0 ? given : chain.filter(isRoot);
  const path = findPath(chain, roots);
  for (const [depth, authority] of path.entries()) checkAuthority(authority, depth, nowMs);
  return {
    issuer: { certificatePem: toPem(certificate), keyPem: pems.keyPem },
    intermediatesPem: chain
      .filter((one) => !isRoot(one))
      .map(toPem)
      .join(""),
    bundlePem: unique(roots).map(toPem).join(""),
    notAfterMs: Math.min(...path.map(({ validToDate }) => validToDate.getTime())),
  };
}

/** Both bundles as one, each root once. */
export function joinBundles(...bundles: readonly string[]): string {
  return unique(bundles.flatMap((pem) => parseCertificates("ca.crt", pem)))
    .map(toPem)
    .join("");
}

/** The issuer, what is above it, and last its root. */
function findPath(chain: readonly X509Certificate[], roots: readonly X509Certificate[]): X509Certificate[] {
  const stranger = roots.find((root) => !isRoot(root));
  if (roots.length === 0)
    throw new IdentityError("The authority has no root: neither in ca.crt nor at the end of tls.crt");
  if (stranger !== undefined)
    throw new IdentityError(`The authority's ca.crt may hold roots alone: ${nameOf(stranger)} is signed by another`);
  const path: X509Certificate[] = [];
  for (const [at, certificate] of chain.entries()) {
    path.push(certificate);
    const same = roots.find(({ fingerprint256 }) => fingerprint256 === certificate.fingerprint256);
    if (same !== undefined) return path;
    const root = roots.find((one) => isIssuedBy(certificate, one));
    if (root !== undefined) return [...path, root];
    const next = chain[at + 1];
    if (next === undefined || !isIssuedBy(certificate, next))
      throw new IdentityError(
        `The authority's chain does not lead to a root: nothing has signed ${nameOf(certificate)}`,
      );
  }
  throw new IdentityError("The authority's chain does not lead to a root");
}

/** `depth`: how many authorities stand between it and a leaf (RFC 5280 §4.2.1.9). */
function checkAuthority(certificate: X509Certificate, depth: number, nowMs: number): void {
  const name = nameOf(certificate);
  const pathLength = readPathLength(toPem(certificate));
  // OpenSSL's view: the basic constraints, and the key usage where there is one.
  if (!certificate.ca)
    throw new IdentityError(
      `The authority's certificate ${name} may not sign others: it needs CA:TRUE and keyCertSign`,
    );
  if (pathLength !== undefined && pathLength < depth) {
    throw new IdentityError(
      `The authority's certificate ${name} allows ${pathLength} authorities below it, not ${depth}`,
    );
  }
  if (certificate.validToDate.getTime() <= nowMs)
    throw new IdentityError(`The authority's certificate ${name} ended at ${certificate.validToDate.toISOString()}`);
  if (certificate.validFromDate.getTime() > nowMs)
    throw new IdentityError(`The authority's certificate ${name} begins at ${certificate.validFromDate.toISOString()}`);
}

function parseCertificates(where: string, pem: string): X509Certificate[] {
  try {
    return (pem.match(CERTIFICATE) ?? []).map((text) => new X509Certificate(text));
  } catch (error) {
    throw new IdentityError(`Cannot read the authority's ${where}: ${describeError(error)}`, { cause: error });
  }
}

function parseKey(keyPem: string): KeyObject {
  try {
    return createPrivateKey(keyPem);
  } catch (error) {
    throw new IdentityError(`Cannot read the authority's key: ${describeError(error)}`, { cause: error });
  }
}

function isRoot(certificate: X509Certificate): boolean {
  return isIssuedBy(certificate, certificate);
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function unique(certificates: readonly X509Certificate[]): X509Certificate[] {
  return [...new Map(certificates.map((one) => [one.fingerprint256, one])).values()];
}

function nameOf({ subject }: X509Certificate): string {
  return `"${(subject ?? "").replaceAll("\n", ", ")}"`;
}

function toPem(certificate: X509Certificate): string {
  return `${certificate.toString().trimEnd()}\n`;
}
