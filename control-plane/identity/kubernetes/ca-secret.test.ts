import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import { makeAuthority } from "../testing/make-authority.ts";
import { caAnnotations, makeCaSecret, nextCaSecret, parseCaSecret, phaseOf, type CaSecret } from "./ca-secret.ts";

const nowMs = 1_800_000_000_000;
const leafLifeMs = 3_600_000;
const overlapMs = leafLifeMs + 300_000;
const step = (secret: CaSecret, atMs: number): Promise<CaSecret | undefined> =>
  nextCaSecret(secret, { trustDomain: "mesh.local", nowMs: atMs, leafLifeMs });
const asked = (secret: CaSecret, more = {}): CaSecret => ({
  ...secret,
  annotations: { ...secret.annotations, [caAnnotations.rotate]: "now", ...more },
});

test("a root of our own is steady until it is asked to go, and its follower is known long before it signs", async () => {
  const first = await makeCaSecret("mesh.local", nowMs);
  const old = first.data["tls.crt"] ?? "";
  assert.equal(await step(first, nowMs + 365 * 86_400_000), undefined);
  const announced = await step(asked(first), nowMs);
  assert.ok(announced);
  assert.equal(phaseOf(announced), "announced");
  assert.equal(announced.annotations[caAnnotations.rotate], undefined);
  const fresh = announced.data["next.crt"] ?? "";
  const during = parseCaSecret(announced, nowMs);
  assert.equal(during.issuer.certificatePem, old);
  assert.equal(during.bundlePem, old + fresh);

  assert.equal(await step(announced, nowMs + overlapMs - 1), undefined);
  const switched = await step(announced, nowMs + overlapMs);
  assert.ok(switched);
  assert.equal(phaseOf(switched), "switched");
  const after = parseCaSecret(switched, nowMs + overlapMs);
  assert.equal(after.issuer.certificatePem, fresh);
  assert.equal(after.bundlePem, old + fresh);

  assert.equal(await step(switched, nowMs + 2 * overlapMs - 1), undefined);
  const steady = await step(switched, nowMs + 2 * overlapMs);
  assert.ok(steady);
  assert.equal(phaseOf(steady), "steady");
  assert.deepEqual(Object.keys(steady.data).toSorted(), ["ca.crt", "tls.crt", "tls.key"]);
  assert.equal(parseCaSecret(steady, nowMs + 2 * overlapMs).bundlePem, fresh);
  assert.ok(new X509Certificate(fresh).subject.includes("mesh.local"));
});

test("a root in its last year is followed without being asked, and an annotation shortens the overlap once", async () => {
  const first = await makeCaSecret("mesh.local", nowMs);
  const lateMs = nowMs + 3290 * 86_400_000;
  assert.equal(phaseOf((await step(first, lateMs)) ?? first), "announced");
  const hurried = await step(asked(first, { [caAnnotations.overlap]: "10s" }), nowMs);
  assert.ok(hurried);
  const switched = await step(hurried, nowMs + 10_000);
  assert.ok(switched);
  const steady = await step(switched, nowMs + 20_000);
  assert.ok(steady);
  assert.equal(steady.annotations[caAnnotations.overlap], undefined);
});

test("an authority that was handed in is read and never changed", async () => {
  const root = await makeAuthority({ name: "company", kind: "rsa" });
  const middle = await makeAuthority({ name: "mesh", kind: "rsa", pathLength: 0 }, root);
  const data = { "tls.crt": middle.certificatePem, "tls.key": middle.keyPem, "ca.crt": root.certificatePem };
  const secret = { data, annotations: { "cert-manager.io/issuer-name": "company" } };
  assert.equal(parseCaSecret(secret, Date.now()).intermediatesPem, middle.certificatePem);
  assert.equal(await step(asked(secret), nowMs), undefined);
  assert.throws(() => parseCaSecret({ data: { ...data, "tls.key": "" }, annotations: {} }, Date.now()), /no tls\.key/);
});

test("a step whose time cannot be read is not taken early", async () => {
  const announced = await step(asked(await makeCaSecret("mesh.local", nowMs)), nowMs);
  assert.ok(announced);
  const broken = { ...announced, annotations: { ...announced.annotations, [caAnnotations.stepAt]: "yesterday" } };
  assert.equal(await step(broken, nowMs + 10 * overlapMs), undefined);
});
