// The proxy's key and the request to have it certified. The key is made here and goes nowhere but into our own state folder.
import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";

export interface KeyAndRequest {
  readonly keyPem: string;
  readonly csrPem: string;
}

/** A fresh ECDSA P-256 key, and a PKCS #10 request for `spiffeId` (ASCII) signed with it. */
export function makeKeyAndRequest(spiffeId: string): KeyAndRequest {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }),
    csrPem: toPem("CERTIFICATE REQUEST", makeRequest(privateKey, publicKey, spiffeId)),
  };
}

/** Tags of DER (X.690 §8), as far as a request has them. */
const tags = { integer: 0x02, bitString: 0x03, octetString: 0x04, oid: 0x06, sequence: 0x30, set: 0x31 } as const;
/** Context-specific: a request's attributes, and a URI among general names (RFC 5280 §4.2.1.6). */
const ATTRIBUTES = 0xa0;
const URI_NAME = 0x86;

/** Written out: the body of each object identifier. */
const oids = {
  /** 1.2.840.113549.1.9.14, RFC 2985 §5.4.2 */
  extensionRequest: [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e],
  /** 2.5.29.17, RFC 5280 §4.2.1.6 */
  subjectAltName: [0x55, 0x1d, 0x11],
  /** 1.2.840.10045.4.3.2, RFC 5758 §3.2 */
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
} as const;

/**
 * RFC 2986 §4: one extension, no subject. By hand, because an application's start waits for it, and a package for certificates takes
 * longer to load than all the rest of an identity.
 */
function makeRequest(privateKey: KeyObject, publicKey: KeyObject, spiffeId: string): Buffer {
  const names = der(tags.sequence, der(URI_NAME, Buffer.from(spiffeId, "ascii")));
  const extension = der(tags.sequence, oid("subjectAltName"), der(tags.octetString, names));
  const extensions = der(tags.set, der(tags.sequence, extension));
  const info = der(
    tags.sequence,
    der(tags.integer, Buffer.from([0])),
    der(tags.sequence),
    publicKey.export({ type: "spki", format: "der" }),
    der(ATTRIBUTES, der(tags.sequence, oid("extensionRequest"), extensions)),
  );
  const signature = sign("sha256", info, privateKey);
  const unusedBits = Buffer.from([0]);
  return der(
    tags.sequence,
    info,
    der(tags.sequence, oid("ecdsaWithSha256")),
    der(tags.bitString, unusedBits, signature),
  );
}

function oid(name: keyof typeof oids): Buffer {
  return der(tags.oid, Buffer.from(oids[name]));
}

/** One value: tag, length in as few bytes as it takes, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const bytes = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

function toPem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
