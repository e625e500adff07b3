import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { silentLog } from "#lib/log.ts";
import { WatchedValue } from "#lib/watched.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { CertificateAuthority } from "./authority.ts";
import { makeRoot } from "./certificates.ts";
import { parseIssuer } from "./issuer.ts";
import { makeCsr } from "./testing/make-csr.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/reviews";
const HOUR_MS = 3_600_000;
const folders: string[] = [];

function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "heddle-ca-"));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

test("the authority keeps its root, for its owner alone, and writes the roots to pin", async () => {
  const options = { stateDir: makeFolder(), trustDomain: "mesh.local", clock: new FakeClock(Date.now()) };
  const first = await CertificateAuthority.open(options);
  const second = await CertificateAuthority.open(options);
  assert.equal(second.bundlePem, first.bundlePem);
  assert.equal(statSync(path.join(options.stateDir, "ca", "root-key.pem")).mode & 0o777, 0o600);
  assert.equal(readFileSync(path.join(options.stateDir, "roots.pem"), "utf8"), first.bundlePem);
  assert.ok(new X509Certificate(first.bundlePem).ca);
});

test("a leaf has the SPIFFE id as its only name, lasts 24 h, and began 5 minutes ago", async () => {
  const clock = new FakeClock(1_800_000_000_000);
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const signed = await authority.signWorkloadPem(await makeCsr(ID), ID);
  const leaf = new X509Certificate(signed.chainPem);
  const root = new X509Certificate(signed.bundlePem);
  assert.equal(leaf.subjectAltName, `URI:${ID}`);
  assert.equal(leaf.ca, false);
  assert.deepEqual(leaf.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  assert.equal(leaf.validFromDate.getTime(), clock.wallMs() - 300_000);
  assert.equal(leaf.validToDate.getTime(), clock.wallMs() + 24 * HOUR_MS);
  assert.equal(leaf.validToDate.getTime(), signed.notAfterMs);
  assert.ok(leaf.checkIssued(root) && leaf.verify(root.publicKey));
});

test("a request for another identity, another trust domain or another kind of name is refused", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  const other = "spiffe://mesh.local/ns/shop/sa/payments";
  await assert.rejects(authority.signWorkloadPem(await makeCsr(other), ID), /asks for .*payments/);
  const foreign = "spiffe://else.local/ns/shop/sa/reviews";
  await assert.rejects(authority.signWorkloadPem(await makeCsr(foreign), foreign), /not of the trust domain/);
  await assert.rejects(authority.signWorkloadPem(await makeCsr("reviews.shop", "dns"), ID), /SPIFFE id alone/);
});

test("a request that is garbage, altered or for a weak key is refused", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  await assert.rejects(authority.signWorkloadPem("hello", ID), /Cannot read/);
  await assert.rejects(authority.signWorkloadPem(await makeCsr(ID, "url", "P-384"), ID), /must be ECDSA P-256/);
  const der = Buffer.from((await makeCsr(ID)).replace(/-----[^-]+-----/g, ""), "base64");
  der.set([der.readUInt8(der.length - 1) ^ 1], der.length - 1);
  const altered = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----`;
  await assert.rejects(authority.signWorkloadPem(altered, ID), /not signed by its own key/);
});

test("an issuer that others keep signs as soon as it is told of, and leaves do not outlive it", async () => {
  const nowMs = Math.floor(Date.now() / 1000) * 1000;
  const made = [1, 2].map(async (hours) => {
    const root = await makeRoot(`root ${hours}`, { notBeforeMs: nowMs - HOUR_MS, notAfterMs: nowMs + hours * HOUR_MS });
    return parseIssuer({ chainPem: root.certificatePem, keyPem: root.keyPem, rootsPem: "" }, nowMs);
  });
  const [first, second] = await Promise.all(made);
  assert.ok(first && second);
  const material = new WatchedValue(first);
  const authority = CertificateAuthority.over(material, { trustDomain: "mesh.local", clock: new FakeClock(nowMs) });
  assert.equal((await authority.signWorkloadPem(await makeCsr(ID), ID)).notAfterMs, nowMs + HOUR_MS);
  material.set(second);
  const signed = await authority.signWorkloadPem(await makeCsr(ID), ID);
  assert.equal(signed.notAfterMs, nowMs + 2 * HOUR_MS);
  assert.equal(signed.bundlePem, second.bundlePem);
  assert.equal(authority.bundlePem, second.bundlePem);
});

test("a root whose key does not fit stops the start and is not replaced", async () => {
  const options = { stateDir: makeFolder(), trustDomain: "mesh.local", clock: new FakeClock(Date.now()) };
  await CertificateAuthority.open(options);
  const other = await makeRoot("other", { notBeforeMs: Date.now(), notAfterMs: Date.now() + HOUR_MS });
  writeFileSync(path.join(options.stateDir, "ca", "root-key.pem"), other.keyPem);
  await assert.rejects(CertificateAuthority.open(options), /not the one of its certificate/);
});

test("a root takes over in steps: known to all before it signs, and the old one is dropped when what it signed has ended", async () => {
  const clock = new FakeClock(Date.now());
  const options = { stateDir: makeFolder(), trustDomain: "mesh.local", clock, leafLifeMs: HOUR_MS };
  const authority = await CertificateAuthority.open(options);
  const oldBundle = authority.bundlePem;
  const bundles: string[] = [];
  authority.bundle.subscribe((bundle) => bundles.push(bundle));
  await authority.advance(silentLog);
  assert.equal(authority.bundlePem, oldBundle);

  writeFileSync(path.join(options.stateDir, "ca", "rotate"), "");
  await authority.advance(silentLog);
  const both = authority.bundlePem;
  const newRoot = new X509Certificate(both.slice(oldBundle.length));
  assert.ok(both.startsWith(oldBundle) && newRoot.ca);
  assert.equal(readFileSync(path.join(options.stateDir, "roots.pem"), "utf8"), both);
  const issuedBy = async (): Promise<"old" | "new"> => {
    const { chainPem } = await authority.signWorkloadPem(await makeCsr(ID), ID);
    return new X509Certificate(chainPem).verify(newRoot.publicKey) ? "new" : "old";
  };
  clock.advance(HOUR_MS);
  await authority.advance(silentLog);
  assert.equal(await issuedBy(), "old");

  clock.advance(HOUR_MS);
  await authority.advance(silentLog);
  assert.equal(await issuedBy(), "new");
  assert.equal(authority.bundlePem, both);
  const restarted = await CertificateAuthority.open(options);
  assert.equal(restarted.bundlePem, both);

  clock.advance(2 * HOUR_MS);
  await authority.advance(silentLog);
  assert.equal(authority.bundlePem, newRoot.toString());
  assert.deepEqual(bundles, [oldBundle, both, newRoot.toString()]);
  assert.throws(() => statSync(path.join(options.stateDir, "ca", "root-key.pem")), /ENOENT/);
  assert.equal((await CertificateAuthority.open(options)).bundlePem, newRoot.toString());
  await authority.advance(silentLog);
  assert.equal(authority.bundlePem, newRoot.toString());
});

test("a root in its last year is followed by another without being asked", async () => {
  const clock = new FakeClock(Date.now());
  const authority = await CertificateAuthority.open({ stateDir: makeFolder(), trustDomain: "mesh.local", clock });
  clock.advance(3280 * 24 * HOUR_MS);
  await authority.advance(silentLog);
  assert.equal(authority.bundlePem.match(/BEGIN CERTIFICATE/g)?.length, 1);
  clock.advance(10 * 24 * HOUR_MS);
  await authority.advance(silentLog);
  assert.equal(authority.bundlePem.match(/BEGIN CERTIFICATE/g)?.length, 2);
});

test("what tells of a rotation and cannot be understood stops the control plane", async () => {
  const options = { stateDir: makeFolder(), trustDomain: "mesh.local", clock: new FakeClock(Date.now()) };
  await CertificateAuthority.open(options);
  writeFileSync(
    path.join(options.stateDir, "ca", "rotation.json"),
    '{"signer":"../root","trusted":["root"],"sinceMs":0}',
  );
  await assert.rejects(CertificateAuthority.open(options), /Cannot understand .*rotation\.json/);
});
