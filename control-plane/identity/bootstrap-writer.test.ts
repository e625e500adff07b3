import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { loadBootstrap } from "#config/bootstrap/load-bootstrap.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { writeBootstrap } from "./bootstrap-writer.ts";
import { JoinTokenStore } from "./join-tokens.ts";

const folder = mkdtempSync(path.join(tmpdir(), "heddle-bootstrap-"));
after(() => rmSync(folder, { recursive: true, force: true }));

test("a bootstrap is one that a proxy takes whole, with a token of its own identity", () => {
  const tokens = new JoinTokenStore(folder, new FakeClock());
  const spiffeId = "spiffe://mesh.local/ns/shop/sa/reviews";
  const file = writeBootstrap(
    path.join(folder, "workloads", "shop", "reviews-v1-0"),
    {
      namespace: "shop",
      workload: "reviews-v1-0",
      service: "reviews",
      serviceAccount: "reviews",
      spiffeId,
      locality: { region: "here", zone: "a" },
      controlPlane: { address: "127.0.0.1", port: 15_012 },
      rootsFile: path.join(folder, "roots.pem"),
      admin: { address: "127.0.0.1", port: 15_000 },
      metrics: { address: "127.0.0.1", port: 15_020 },
    },
    tokens,
  );
  const bootstrap = loadBootstrap(readFileSync(file, "utf8"), file, { knownFilters: new Set() });
  assert.equal(bootstrap.node.id, "shop/reviews-v1-0");
  assert.deepEqual(bootstrap.ads, { cluster: "heddle-xds", delta: true, listeners: true, clusters: true });
  const { identity } = bootstrap.heddle;
  assert.ok(identity);
  assert.equal(identity.spiffeId, spiffeId);
  assert.equal(statSync(identity.tokenFile).mode & 0o777, 0o600);
  assert.equal(tokens.claim(readFileSync(identity.tokenFile, "utf8").trim()).spiffeId, spiffeId);
  const tls = bootstrap.clusters[0]?.tls;
  assert.deepEqual(tls?.certificate, { kind: "sds", name: identity.certificateName });
  assert.deepEqual(tls?.validation?.roots, { kind: "sds", name: identity.bundleName });
  assert.equal(tls?.validation?.subjectAltNames.length, 1);
});
