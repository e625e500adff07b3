// The certificates that the mesh is made of: the root, leaves of workloads and of the control plane. The doorway to @peculiar/x509.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
  type JsonGeneralName,
  type JsonName,
} from "@peculiar/x509";
import { createPrivateKey, randomBytes, webcrypto, type KeyObject } from "node:crypto";
import { describeError } from "#lib/errors.ts";
import { IdentityError } from "./spiffe-id.ts";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** Who signs: a CA's certificate and its key. */
export interface Issuer {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A key and its certificate, PEM. */
export interface KeyAndCertificate {
  readonly keyPem: string;
  readonly certificatePem: string;
}

/** A self-signed ECDSA P-256 CA that may sign leaves only (path length 0). */
export async function makeRoot(commonName: string, validity: Validity): Promise<KeyAndCertificate> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: makeSerialNumber(),
    name: [{ CN: [commonName] }],
    keys,
    ...toDates(validity),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { keyPem: await exportKey(keys.privateKey), certificatePem: certificate.toString("pem") };
}

/**
 * A leaf for the key of a checked request: for a workload, both as a server and as a client. Its only name is its SPIFFE id; the
 * subject says which pod it is of (pod-binding.ts), or nothing.
 */
export async function signWorkloadLeaf(
  issuer: Issuer,
  publicKey: ArrayBuffer,
  spiffeId: string,
  validity: Validity,
  subject: JsonName = [],
): Promise<string> {
  const usages = [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth];
  return signLeaf(issuer, publicKey, [{ type: "url", value: spiffeId }], subject, usages, validity);
}

/** A fresh key and its certificate for a server with these names. */
export async function makeServerLeaf(
  issuer: Issuer,
  dnsNames: readonly string[],
  ipAddresses: readonly string[],
  validity: Validity,
): Promise<KeyAndCertificate> {
  const keys = await makeKeys();
  const names: JsonGeneralName[] = [
    ...dnsNames.map((value) => ({ type: "dns" as const, value })),
    ...ipAddresses.map((value) => ({ type: "ip" as const, value })),
  ];
  const publicKey = await webcrypto.subtle.exportKey("spki", keys.publicKey);
  const usages = [ExtendedKeyUsage.serverAuth];
  const [commonName] = dnsNames;
  const subject = commonName === undefined ? [] : [{ CN: [commonName] }];
  const certificatePem = await signLeaf(issuer, publicKey, names, subject, usages, validity);
  return { keyPem: await exportKey(keys.privateKey), certificatePem };
}

/** What a signing request says, once its signature over itself held. */
export interface SigningRequest {
  /** DER, SubjectPublicKeyInfo. */
  readonly publicKey: ArrayBuffer;
  /** The URIs among the subject alternative names that it asks for. */
  readonly uris: readonly string[];
}

/**
 * Reads a PKCS #10 request: ECDSA P-256, signed by the key that it names.
 * @throws {IdentityError} for anything else, other kinds of names included.
 */
export async function parseSigningRequest(csrPem: string): Promise<SigningRequest> {
  if (csrPem.length > 16_384) throw new IdentityError("The signing request is longer than 16 KiB");
  try {
    return await checkRequest(new Pkcs10CertificateRequest(csrPem));
  } catch (error) {
    if (error instanceof IdentityError) throw error;
    // A key that is no point of its curve, an extension that is no DER: the package finds them when they are asked for.
    throw new IdentityError(`Cannot read the signing request: ${describeError(error)}`, { cause: error });
  }
}

async function checkRequest(request: Pkcs10CertificateRequest): Promise<SigningRequest> {
  const algorithm: { readonly name: string; readonly namedCurve?: string } = request.publicKey.algorithm;
  if (algorithm.name !== "ECDSA" || algorithm.namedCurve !== "P-256") {
    throw new IdentityError(
      `The signing request's key must be ECDSA P-256: got ${algorithm.name} ${algorithm.namedCurve ?? ""}`.trimEnd(),
    );
  }
  if (!(await request.verify())) throw new IdentityError("The signing request is not signed by its own key");
  const names = request.extensions
    .filter((extension) => extension instanceof SubjectAlternativeNameExtension)
    .flatMap((extension) => extension.names.items);
  const other = names.find((name) => name.type !== "url");
  if (other !== undefined) {
    throw new IdentityError(`The signing request may name a SPIFFE id alone: got ${other.type} "${other.value}"`);
  }
  return { publicKey: request.publicKey.rawData, uris: names.map((name) => name.value) };
}

async function signLeaf(
  issuer: Issuer,
  publicKey: ArrayBuffer,
  names: JsonGeneralName[],
  subject: JsonName,
  usages: ExtendedKeyUsage[],
  validity: Validity,
): Promise<string> {
  const signer = new X509Certificate(issuer.certificatePem);
  // RFC 5280 §4.2.1.6: with an empty subject the alternative names are critical.
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
    new SubjectAlternativeNameExtension(names, subject.length === 0),
    await AuthorityKeyIdentifierExtension.create(signer.publicKey),
  ];
  const issuing = await importIssuerKey(issuer.keyPem);
  const subjectKey = await webcrypto.subtle.importKey("spki", publicKey, ALGORITHM, true, ["verify"]);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: makeSerialNumber(),
    subject,
    issuer: signer.subjectName,
    publicKey: subjectKey,
    signingKey: issuing.key,
    ...toDates(validity),
    signingAlgorithm: issuing.algorithm,
    extensions,
  });
  return certificate.toString("pem");
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  const lines = Buffer.from(der)
    .toString("base64")
    .replace(/.{1,64}/g, "$&\n");
  return `-----BEGIN PRIVATE KEY-----\n${lines}-----END PRIVATE KEY-----\n`;
}

interface SigningAlgorithm {
  readonly name: string;
  readonly namedCurve?: string;
  readonly hash?: string;
}

const EC_ALGORITHMS: Readonly<Record<string, SigningAlgorithm>> = {
  prime256v1: ALGORITHM,
  secp384r1: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  secp521r1: { name: "ECDSA", namedCurve: "P-521", hash: "SHA-512" },
};

/** Issuers that were handed in have keys of any usual kind and form: RSA (PKCS #1), ECDSA (SEC 1), Ed25519, or any as PKCS #8. */
export function tryIssuerAlgorithm(key: KeyObject): SigningAlgorithm | undefined {
  const kind = key.asymmetricKeyType;
  if (kind === "rsa") return { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  if (kind === "ed25519") return { name: "Ed25519" };
  return kind === "ec" ? EC_ALGORITHMS[key.asymmetricKeyDetails?.namedCurve ?? ""] : undefined;
}

async function importIssuerKey(
  keyPem: string,
): Promise<{ readonly key: webcrypto.CryptoKey; readonly algorithm: SigningAlgorithm }> {
  const key = createPrivateKey(keyPem);
  const algorithm = tryIssuerAlgorithm(key);
  if (algorithm === undefined) throw new IdentityError("The authority's key is of a kind that cannot sign here");
  const der = key.export({ type: "pkcs8", format: "der" });
  return { key: await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]), algorithm };
}

/** How many authorities may stand between this one and a leaf; undefined: any number. @throws for text that is no certificate. */
export function readPathLength(certificatePem: string): number | undefined {
  return new X509Certificate(certificatePem).getExtension(BasicConstraintsExtension)?.pathLength;
}

/** 126 random bits, positive and never zero (RFC 5280 §4.1.2.2). */
function makeSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** Certificates know whole seconds. */
function toDates(validity: Validity): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(toSeconds(validity.notBeforeMs)), notAfter: new Date(toSeconds(validity.notAfterMs)) };
}

function toSeconds(ms: number): number {
  return Math.floor(ms / 1000) * 1000;
}
