// Authorities as others make them, for tests: under any authority, with any kind of key and any constraints.
import "reflect-metadata";
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { createPrivateKey, generateKeyPairSync, webcrypto, type KeyObject } from "node:crypto";

export interface MadeAuthority {
  readonly certificatePem: string;
  readonly keyPem: string;
}

interface Shape {
  readonly name: string;
  readonly kind?: "rsa" | "p256" | "p384" | "ed25519";
  readonly isCa?: boolean;
  readonly pathLength?: number;
  readonly usage?: number;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
}

const ALGORITHMS = {
  rsa: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  p256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  p384: { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" },
  ed25519: { name: "Ed25519" },
} as const;

/** `parent` undefined: a root. Keys are written as their own tools do: PKCS #1, SEC 1, PKCS #8. */
export async function makeAuthority(shape: Shape, parent?: MadeAuthority): Promise<MadeAuthority> {
  const { kind = "p256", isCa = true, pathLength, usage = KeyUsageFlags.keyCertSign } = shape;
  const { publicKey, privateKey, keyPem } = makePair(kind);
  const signer = parent === undefined ? privateKey : createPrivateKey(parent.keyPem);
  const signerKind = kindOf(signer);
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [shape.name] }],
    issuer: parent === undefined ? [{ CN: [shape.name] }] : new X509Certificate(parent.certificatePem).subjectName,
    publicKey: await importKey(publicKey, "spki", kind),
    signingKey: await importKey(signer, "pkcs8", signerKind),
    signingAlgorithm: ALGORITHMS[signerKind],
    // A test takes its own time when its file is loaded, long before it runs.
    notBefore: new Date(shape.notBeforeMs ?? Date.now() - 3_600_000),
    notAfter: new Date(shape.notAfterMs ?? Date.now() + 90 * 86_400_000),
    extensions: [new BasicConstraintsExtension(isCa, pathLength, true), new KeyUsagesExtension(usage, true)],
  });
  return { certificatePem: `${certificate.toString("pem")}\n`, keyPem };
}

type Kind = keyof typeof ALGORITHMS;

function makePair(kind: Kind): { publicKey: KeyObject; privateKey: KeyObject; keyPem: string } {
  if (kind === "rsa") {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    return { ...pair, keyPem: pair.privateKey.export({ type: "pkcs1", format: "pem" }) };
  }
  if (kind === "ed25519") {
    const pair = generateKeyPairSync("ed25519");
    return { ...pair, keyPem: pair.privateKey.export({ type: "pkcs8", format: "pem" }) };
  }
  const pair = generateKeyPairSync("ec", { namedCurve: kind === "p256" ? "P-256" : "P-384" });
  return { ...pair, keyPem: pair.privateKey.export({ type: "sec1", format: "pem" }) };
}

function kindOf(key: KeyObject): Kind {
  if (key.asymmetricKeyType === "rsa") return "rsa";
  if (key.asymmetricKeyType === "ed25519") return "ed25519";
  return key.asymmetricKeyDetails?.namedCurve === "prime256v1" ? "p256" : "p384";
}

async function importKey(key: KeyObject, form: "spki" | "pkcs8", kind: Kind): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: form, format: "der" } as { type: "spki"; format: "der" }); // as: by what the key is
  return webcrypto.subtle.importKey(form, der, ALGORITHMS[kind], true, [form === "spki" ? "verify" : "sign"]);
}
