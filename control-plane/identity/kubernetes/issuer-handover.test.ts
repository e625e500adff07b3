import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { parseIssuer, type IssuerMaterial } from "../issuer.ts";
import { makeAuthority, type MadeAuthority } from "../testing/make-authority.ts";
import { IssuerHandover } from "./issuer-handover.ts";

const HOUR_MS = 3_600_000;

function materialOf(issuer: MadeAuthority, root: MadeAuthority): IssuerMaterial {
  const rootsPem = root.certificatePem;
  return parseIssuer({ chainPem: issuer.certificatePem, keyPem: issuer.keyPem, rootsPem }, Date.now());
}

test("an issuer under another root signs a minute after peers were told of that root, which the old one outlives", async () => {
  const clock = new FakeClock(Date.now());
  const [old, fresh] = [await makeAuthority({ name: "old" }), await makeAuthority({ name: "fresh" })];
  const handover = new IssuerHandover(materialOf(old, old), { clock, leafLifeMs: HOUR_MS, isGradual: true });
  const both = fresh.certificatePem + old.certificatePem;
  handover.take(materialOf(fresh, fresh));
  assert.equal(handover.material.current.issuer.keyPem, old.keyPem);
  assert.equal(handover.material.current.bundlePem, both);
  clock.advance(60_000);
  assert.equal(handover.material.current.issuer.keyPem, fresh.keyPem);
  assert.equal(handover.material.current.bundlePem, both);
  clock.advance(HOUR_MS + 300_000);
  assert.equal(handover.material.current.bundlePem, fresh.certificatePem);
  handover.close();
});

test("another intermediate under the same root signs at once", async () => {
  const clock = new FakeClock(Date.now());
  const root = await makeAuthority({ name: "root" });
  const [one, two] = [await makeAuthority({ name: "one" }, root), await makeAuthority({ name: "two" }, root)];
  const handover = new IssuerHandover(materialOf(one, root), { clock, leafLifeMs: HOUR_MS, isGradual: true });
  handover.take(materialOf(two, root));
  assert.equal(handover.material.current.issuer.keyPem, two.keyPem);
  assert.equal(handover.material.current.bundlePem, root.certificatePem);
});

test("a rotation that is made in the bundle is followed as it is told", async () => {
  const [old, fresh] = [await makeAuthority({ name: "old" }), await makeAuthority({ name: "fresh" })];
  const options = { clock: new FakeClock(Date.now()), leafLifeMs: HOUR_MS, isGradual: false };
  const handover = new IssuerHandover(materialOf(old, old), options);
  handover.take(materialOf(fresh, fresh));
  assert.equal(handover.material.current.bundlePem, fresh.certificatePem);
  assert.equal(handover.material.current.issuer.keyPem, fresh.keyPem);
});
