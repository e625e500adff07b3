import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { WatchedValue } from "#lib/watched.ts";
import { CertificateAuthority } from "./authority.ts";
import { joinBundles, parseIssuer } from "./issuer.ts";
import { makeAuthority } from "./testing/make-authority.ts";
import { makeCsr } from "./testing/make-csr.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/reviews";
const nowMs = Date.now();

test("an intermediate signs whatever kind of key it has, and follows the leaf without its root", async () => {
  for (const kind of ["rsa", "p256", "p384", "ed25519"] as const) {
    const root = await makeAuthority({ name: "root", kind });
    const middle = await makeAuthority({ name: "middle", kind, pathLength: 0 }, root);
    const chainPem = middle.certificatePem + root.certificatePem;
    const material = parseIssuer({ chainPem, keyPem: middle.keyPem, rootsPem: root.certificatePem }, nowMs);
    assert.equal(material.intermediatesPem, middle.certificatePem);
    assert.equal(material.bundlePem, root.certificatePem);
    const options = { trustDomain: "mesh.local", clock: new FakeClock(nowMs) };
    const authority = CertificateAuthority.over(new WatchedValue(material), options);
    const signed = await authority.signWorkloadPem(await makeCsr(ID), ID);
    const leaf = new X509Certificate(signed.chainPem);
    assert.ok(leaf.verify(new X509Certificate(middle.certificatePem).publicKey), kind);
    assert.equal(signed.chainPem.match(/BEGIN CERTIFICATE/g)?.length, 2);
  }
});

test("an issuer that may not sign, is not whole, or has ended is refused with what is wrong", async () => {
  const root = await makeAuthority({ name: "root" });
  const other = await makeAuthority({ name: "other" });
  const middle = await makeAuthority({ name: "middle" }, root);
  const narrow = await makeAuthority({ name: "narrow", pathLength: 0 });
  const below = await makeAuthority({ name: "below" }, narrow);
  const leaf = await makeAuthority({ name: "leaf", isCa: false }, root);
  const unused = await makeAuthority({ name: "unused", usage: 1 }, root);
  const ended = await makeAuthority({ name: "ended", notAfterMs: nowMs - 1000 }, root);
  const early = await makeAuthority({ name: "early", notBeforeMs: nowMs + 60_000 }, root);
  const refused = (chain: string, key: string, roots: string, reason: RegExp): void => {
    assert.throws(() => parseIssuer({ chainPem: chain, keyPem: key, rootsPem: roots }, nowMs), reason);
  };
  const rootPem = root.certificatePem;
  refused("", root.keyPem, rootPem, /tls\.crt holds no certificate/);
  refused(middle.certificatePem, "no key", rootPem, /Cannot read the authority's key/);
  refused(middle.certificatePem, other.keyPem, rootPem, /not the one of its certificate/);
  refused(middle.certificatePem, middle.keyPem, "", /has no root/);
  refused(middle.certificatePem, middle.keyPem, other.certificatePem, /does not lead to a root.*middle/);
  refused(middle.certificatePem, middle.keyPem, rootPem + middle.certificatePem, /may hold roots alone.*middle/);
  refused(below.certificatePem, below.keyPem, narrow.certificatePem, /allows 0 authorities below it, not 1/);
  refused(leaf.certificatePem, leaf.keyPem, rootPem, /leaf.*needs CA:TRUE/);
  refused(unused.certificatePem, unused.keyPem, rootPem, /unused.*keyCertSign/);
  refused(ended.certificatePem, ended.keyPem, rootPem, /ended.*ended at/);
  refused(early.certificatePem, early.keyPem, rootPem, /early.*begins at/);
  refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", root.keyPem, "", /Cannot read/);
});

test("a chain ends with the first of its certificates that ends, and joined bundles have each root once", async () => {
  const endMs = Math.floor(nowMs / 1000) * 1000 + 3_600_000;
  const root = await makeAuthority({ name: "root", notAfterMs: endMs });
  const middle = await makeAuthority({ name: "middle" }, root);
  const pems = { chainPem: middle.certificatePem, keyPem: middle.keyPem, rootsPem: root.certificatePem };
  assert.equal(parseIssuer(pems, nowMs).notAfterMs, endMs);
  const other = await makeAuthority({ name: "other" });
  const both = joinBundles(root.certificatePem, other.certificatePem + root.certificatePem);
  assert.equal(both, root.certificatePem + other.certificatePem);
});
