// The proxy's key and the request to have it certified. The key is made here and goes nowhere but into our own state folder.
import { generateKeyPairSync, webcrypto, type KeyObject } from "node:crypto";

export interface KeyAndRequest {
  readonly keyPem: string;
  readonly csrPem: string;
}

/** A fresh ECDSA P-256 key, and a PKCS #10 request for `spiffeId` signed with it. */
export async function makeKeyAndRequest(spiffeId: string): Promise<KeyAndRequest> {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { keyPem: exportPem(privateKey), csrPem: await makeRequest(privateKey, publicKey, spiffeId) };
}

async function makeRequest(privateKey: KeyObject, publicKey: KeyObject, spiffeId: string): Promise<string> {
  // Loaded when needed: twice a day, and it is the largest package of the proxy's start.
  await import("reflect-metadata");
  const { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = {
    privateKey: await webcrypto.subtle.importKey(
      "pkcs8",
      privateKey.export({ type: "pkcs8", format: "der" }),
      algorithm,
      false,
      ["sign"],
    ),
    publicKey: await webcrypto.subtle.importKey(
      "spki",
      publicKey.export({ type: "spki", format: "der" }),
      algorithm,
      true,
      ["verify"],
    ),
  };
  const request = await Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
    extensions: [new SubjectAlternativeNameExtension([{ type: "url", value: spiffeId }])],
  });
  return request.toString("pem");
}

function exportPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" });
}
