import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { WatchedValue } from "#lib/watched.ts";
import { CertificateAuthority } from "./authority.ts";
import { parseSigningRequest } from "./certificates.ts";
import { parseIssuer } from "./issuer.ts";
import { tryPodBinding } from "./pod-binding.ts";
import { makeAuthority } from "./testing/make-authority.ts";
import { makeCsr } from "./testing/make-csr.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/cart";
const pod = { name: "cart-7d4b-x2", uid: "0b5ab2c1-3c0f-4bd5-9f4e-0123456789ab" };

test("a certificate says of which pod it is, and its only name stays the SPIFFE id", async () => {
  const { certificatePem, keyPem } = await makeAuthority({ name: "root" });
  const material = new WatchedValue(parseIssuer({ chainPem: certificatePem, keyPem, rootsPem: "" }, Date.now()));
  const authority = CertificateAuthority.over(material, {
    trustDomain: "mesh.local",
    clock: new FakeClock(Date.now()),
  });

  const sign = async (name: string): Promise<X509Certificate> => {
    const request = await parseSigningRequest(await makeCsr(ID));
    return new X509Certificate((await authority.signWorkload(request, ID, { ...pod, name })).chainPem);
  };
  const leaf = await sign(pod.name);
  assert.equal(leaf.subjectAltName, `URI:${ID}`);
  assert.deepEqual(tryPodBinding(leaf.subject), pod);
  const longest = `${"a".repeat(252)}b`;
  assert.equal(tryPodBinding((await sign(longest)).subject)?.name, longest);
  await assert.rejects(sign("cart\nUID=other"), /cannot be the name of a pod/);
  const unbound = new X509Certificate((await authority.signWorkloadPem(await makeCsr(ID), ID)).chainPem);
  assert.equal(tryPodBinding(unbound.subject), undefined);
});

test("a subject that says more or less than a pod is of none", () => {
  const { name, uid } = pod;
  assert.deepEqual(tryPodBinding(`UID=${name}\nserialNumber=${uid}`), pod);
  for (const subject of [
    undefined,
    "",
    `UID=${name}`,
    `serialNumber=${uid}\nUID=${name}\nCN=more`,
    `serialNumber=${uid}\nUID=${name}\nUID=other`,
    `serialNumber=${uid}\nUID=Not A Pod`,
    `serialNumber=1\nUID=${name}`,
  ])
    assert.equal(tryPodBinding(subject), undefined);
});
