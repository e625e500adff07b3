import assert from "node:assert/strict";
import { test } from "node:test";
import { tryLoadJsonBootstrap } from "./json-bootstrap.ts";
import { makePodBootstrap, type PodFacts } from "./pod-bootstrap.ts";

const least = {
  POD_NAME: "cart-7d4b-x2",
  POD_NAMESPACE: "shop",
  SERVICE_ACCOUNT: "cart",
  HEDDLE_CONTROL_PLANE: "heddle-control-plane.heddle-system.svc:15012",
};

function load(env: PodFacts["env"], hasIpv6 = true) {
  const text = JSON.stringify(makePodBootstrap({ env, hasIpv6 }));
  const bootstrap = tryLoadJsonBootstrap(text, { knownFilters: new Set() });
  assert.ok(bootstrap, "a proxy takes it whole");
  return bootstrap;
}

test("a pod's proxy is its namespace and name, speaks for its account, and asks the control plane by name", () => {
  const { node, admin, clusters, heddle } = load(least);
  assert.equal(node.id, "shop/cart-7d4b-x2");
  assert.equal(node.cluster, "cart.shop");
  assert.deepEqual(admin, { address: "127.0.0.1", port: 15_000 });
  const [ads] = clusters;
  assert.equal(ads?.discovery.kind, "logicalDns");
  assert.equal(ads?.tls?.sni, "heddle-control-plane");
  assert.equal(heddle.identity?.spiffeId, "spiffe://cluster.local/ns/shop/sa/cart");
  assert.equal(heddle.identity?.renewWith, "token");
  assert.deepEqual(heddle.identity?.address, { address: "heddle-control-plane.heddle-system.svc", port: 15_012 });
  assert.deepEqual(heddle.metrics, { address: "::", port: 15_020 });
  assert.equal(heddle.drainTimeMs, 5000);
  assert.equal(heddle.terminationDrainMs, 0);
});

test("a pod's environment sets times, threads, trust domain, and an address of the control plane", () => {
  const env = {
    ...least,
    HEDDLE_CONTROL_PLANE: "[fd00::1]:15012",
    HEDDLE_TRUST_DOMAIN: "mesh.local",
    HEDDLE_CONCURRENCY: "2",
    HEDDLE_DRAIN_TIME: "1m30s",
    HEDDLE_TERMINATION_DRAIN: "5s",
    HEDDLE_SERVICE: "cart",
  };
  const { node, clusters, heddle } = load(env, false);
  assert.equal(node.cluster, "cart");
  assert.equal(clusters[0]?.discovery.kind, "static");
  assert.equal(heddle.identity?.spiffeId, "spiffe://mesh.local/ns/shop/sa/cart");
  assert.deepEqual(heddle.metrics, { address: "0.0.0.0", port: 15_020 });
  assert.deepEqual([heddle.concurrency, heddle.drainTimeMs, heddle.terminationDrainMs], [2, 90_000, 5000]);
});

test("all that is missing or wrong in a pod's environment is named at once", () => {
  const env = { POD_NAME: "", SERVICE_ACCOUNT: "cart", HEDDLE_CONTROL_PLANE: "here", HEDDLE_DRAIN_TIME: "5 sec" };
  assert.throws(() => makePodBootstrap({ env, hasIpv6: true }), {
    code: "HDL_POD_ENVIRONMENT",
    message:
      "Cannot start in a pod: POD_NAMESPACE must be set; POD_NAME must be set; HEDDLE_CONTROL_PLANE must be host:port, as " +
      'heddle-control-plane.heddle-system.svc:15012: got "here"; HEDDLE_DRAIN_TIME must be a duration, as 5s or 1m30s: got "5 sec"',
  });
  const wrong = { ...least, HEDDLE_CONCURRENCY: "0", HEDDLE_CONTROL_PLANE: "a:70000" };
  assert.throws(
    () => makePodBootstrap({ env: wrong, hasIpv6: true }),
    /HEDDLE_CONTROL_PLANE.*70000.*HEDDLE_CONCURRENCY/,
  );
});
