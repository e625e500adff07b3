// Signing requests for tests: good ones, and ones that must be refused.
import "reflect-metadata";
import { Extension, Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "@peculiar/x509";
import { webcrypto } from "node:crypto";

export async function makeCsr(name: string, type: "url" | "dns" = "url", namedCurve = "P-256"): Promise<string> {
  return makeCsrWith(new SubjectAlternativeNameExtension([{ type, value: name }]), namedCurve);
}

/** A request whose subject alternative name is of DER that no honest one has. */
export async function makeOddCsr(subjectAltName: Uint8Array<ArrayBuffer>): Promise<string> {
  return makeCsrWith(new Extension("2.5.29.17", false, subjectAltName), "P-256");
}

async function makeCsrWith(extension: Extension, namedCurve: string): Promise<string> {
  const algorithm = { name: "ECDSA", namedCurve, hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
    extensions: [extension],
  });
  return request.toString("pem");
}
