import "reflect-metadata";
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { test } from "node:test";

import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "@peculiar/x509";

import { makeKeyAndRequest } from "./certificate-request.ts";

// Lengths in one, two and three bytes of DER.
for (const account of ["a", "b".repeat(80), "c".repeat(253)]) {
  const spiffeId = `spiffe://cluster.local/ns/shop/sa/${account}`;
  test(`a request for an id of ${spiffeId.length} characters is what a certificate authority reads`, async () => {
    const { keyPem, csrPem } = makeKeyAndRequest(spiffeId);
    const request = new Pkcs10CertificateRequest(csrPem);
    assert.equal(await request.verify(), true);
    assert.equal(request.subject, "");
    assert.equal(request.extensions.length, 1);
    const [extension] = request.extensions;
    assert.ok(extension !== undefined && !extension.critical);
    const { names } = new SubjectAlternativeNameExtension(extension.rawData);
    assert.deepEqual(names.toJSON(), [{ type: "url", value: spiffeId }]);
    const own = createPublicKey(createPrivateKey(keyPem)).export({ type: "spki", format: "der" });
    assert.deepEqual(Buffer.from(request.publicKey.rawData), own);
  });
}
