// Signing requests for tests: good ones, and ones that must be refused.
import "reflect-metadata";
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { webcrypto } from "node:crypto";

export async function makeCsr(name: string, type: "url" | "dns" = "url", namedCurve = "P-256"): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve, hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type, value: name }])],
  });
  return request.toString("pem");
}
