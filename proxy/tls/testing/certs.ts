// A small certificate authority for tests: ECDSA P-256, made when asked for.
import "reflect-metadata";
import { webcrypto } from "node:crypto";
import type { CertificateSecret } from "#config/model/tls.ts";
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralNames,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const HOUR_MS = 3_600_000;

export interface LeafOptions {
  /** SPIFFE id or another URI. */
  readonly uri?: string;
  readonly dns?: readonly string[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

export interface TestAuthority {
  readonly bundlePem: string;
  issue(options: LeafOptions): Promise<CertificateSecret>;
}

export async function makeAuthority(name = "Test CA"): Promise<TestAuthority> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const root = await X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - HOUR_MS),
    notAfter: new Date(Date.now() + HOUR_MS),
    extensions: [new BasicConstraintsExtension(true, 1, true)],
  });
  let serial = 1;
  return {
    bundlePem: root.toString("pem"),
    async issue(options) {
      const leafKeys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
      const names: JsonGeneralNames = [];
      if (options.uri !== undefined) names.push({ type: "url", value: options.uri });
      for (const value of options.dns ?? []) names.push({ type: "dns", value });
      const leaf = await X509CertificateGenerator.create({
        serialNumber: (++serial).toString(16).padStart(4, "0"),
        issuer: root.subject,
        subject: "CN=test",
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ALGORITHM,
        notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
        notAfter: options.notAfter ?? new Date(Date.now() + HOUR_MS),
        extensions: [new SubjectAlternativeNameExtension(names)],
      });
      const key = await webcrypto.subtle.exportKey("pkcs8", leafKeys.privateKey);
      const base64 = Buffer.from(key).toString("base64").replaceAll(/.{64}/g, "$&\n");
      return {
        chainPem: leaf.toString("pem"),
        keyPem: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
      };
    },
  };
}
