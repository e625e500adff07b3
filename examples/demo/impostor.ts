// An outsider's certificate: self-signed, but with the SPIFFE id of a real service in it.
import "reflect-metadata"; // which @peculiar/x509 needs
import { webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

export interface ForgedIdentity {
  readonly key: string;
  readonly cert: string;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const DAY_MS = 86_400_000;

/** A key and a self-signed certificate that claim to be `spiffeId`, both in PEM. */
export async function forgeIdentity(spiffeId: string): Promise<ForgedIdentity> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    name: "CN=impostor",
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }])],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY"), cert: certificate.toString("pem") };
}
