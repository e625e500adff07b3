// The shop of examples/ as ordinary Deployments and Services with injected sidecars: what its demo claims on one machine holds in a
// cluster, through interception. The applications call http://SERVICE:PORT and know of no mesh.
// Time limit: 900 s.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { circuitBreaking } from "../../examples/demo/claims/06-circuit-breaking.ts";
import { explained } from "../../examples/demo/claims/09-explained.ts";
import { tokenBucket } from "../../examples/demo/claims/05-token-bucket.ts";
import { traces } from "../../examples/demo/claims/07-traces.ts";
import { Cluster } from "./cluster/cluster.ts";
import { installMesh } from "./mesh.ts";
import { deployShop, type ShopInCluster } from "./shop/shop.ts";
import { ClusterShopView } from "./shop/view.ts";

let cluster: Cluster;
let shop: ShopInCluster;

before(async () => {
  cluster = Cluster.join();
  await installMesh(cluster);
  shop = await deployShop(cluster);
});

after(() => shop.remove());

it("every pod has its sidecar, and every application is ready", async () => {
  const pods = await shop.pods();
  assert.equal(pods.length, 15);
  for (const { name, containers } of pods) assert.ok(containers.includes("heddle-proxy"), `${name} has no sidecar`);
});

describe("version routing", () => {
  it("goes by header, directly and through the storefront", async () => {
    for (const base of ["http://reviews:9080", "http://storefront:8080"]) {
      const url = `${base}/reviews/mug`;
      assert.deepEqual(await shop.tally({ url, count: 100, headers: { version: "v2" } }, "version"), { "200 v2": 100 });
      assert.deepEqual(await shop.tally({ url, count: 100 }, "version"), { "200 v1": 100 });
    }
  });

  it("splits by weight", async () => {
    const counts = await shop.tally({ url: "http://reviews:9080/ratings/mug", count: 2000 }, "version");
    const toV2 = counts["200 v2"] ?? 0;
    assert.equal((counts["200 v1"] ?? 0) + toV2, 2000, JSON.stringify(counts));
    // Six standard deviations of a fair draw of 10 %.
    assert.ok(toV2 > 120 && toV2 < 280, `the canary got ${toV2} of 2000`);
  });
});

describe("tenant routing", () => {
  it("leads each tenant to its own instances, directly and through the storefront", async () => {
    for (const url of ["http://orders:8080/orders", "http://storefront:8080/orders"])
      for (const tenant of ["acme", "globex"])
        assert.deepEqual(await shop.tally({ url, count: 50, headers: { "x-tenant": tenant } }, "tenant"), {
          [`200 ${tenant}`]: 50,
        });
  });

  it("refuses no tenant, an unknown one, and one that a stranger names", async () => {
    const url = "http://orders:8080/orders";
    assert.deepEqual(await shop.tally({ url, count: 10 }, "tenant"), { "403 ": 10 });
    assert.deepEqual(await shop.tally({ url, count: 10, headers: { "x-tenant": "initech" } }, "tenant"), {
      "503 ": 10,
    });
    const forged = { url: "http://reviews:9080/reviews/mug", count: 10, headers: { "x-tenant": "acme" } };
    assert.deepEqual(await shop.tally(forged, "version", "stranger"), { "403 ": 10 });
    const honest = { url: "http://reviews:9080/reviews/mug", count: 10 };
    assert.deepEqual(await shop.tally(honest, "version", "stranger"), { "200 v1": 10 });
  });
});

describe("every protocol passes", () => {
  it("an order goes through storefront, orders, payments, shipping, and by TCP to the inventory", async () => {
    const order = {
      url: "http://storefront:8080/orders",
      count: 5,
      method: "POST",
      headers: { "x-tenant": "acme", "content-type": "application/json" },
      body: JSON.stringify({ sku: "mug", quantity: 1 }),
    };
    assert.deepEqual(await shop.tally(order, "tenant"), { "201 acme": 5 });
  });

  it("gRPC: products are listed and quoted by the catalog", async () => {
    assert.deepEqual(await shop.tally({ url: "http://storefront:8080/products/mug", count: 5 }, "product.sku"), {
      "200 mug": 5,
    });
    assert.deepEqual(await shop.tally({ url: "http://storefront:8080/quotes?sku=mug", count: 5 }, "quotes.0.cents"), {
      "200 900": 5,
    });
  });
});

it("mutual TLS: the callee is told both identities, and plaintext from outside of the mesh is refused", async () => {
  await shop.tally(
    { url: "http://reviews:9080/reviews/mug", count: 1, headers: { "x-request-id": "told" } },
    "version",
  );
  const arrivals = JSON.stringify(await shop.askApplication("app=reviews,version=v1", "/_stats"));
  assert.match(arrivals, /URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/shopper/);
  assert.match(arrivals, /By=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/reviews/);
  // This test runs on the node, and is no part of the mesh.
  const address = await shop.addressOf("app=reviews,version=v1");
  await assert.rejects(fetch(`http://${address}:9080/reviews/mug`, { signal: AbortSignal.timeout(10_000) }));
});

it("retries: what is safe to repeat survives an instance that fails every second call", async () => {
  await shop.setFault("app=payments", { everyNth: 2 });
  try {
    assert.deepEqual(await shop.tally({ url: "http://payments:8080/rates", count: 100 }, "error"), { "200 ": 100 });
  } finally {
    await shop.setFault("app=payments", {});
  }
});

describe("claims of the demo, as it checks them on one machine", () => {
  let view: ClusterShopView;

  before(async () => {
    view = await ClusterShopView.open(cluster);
  });
  after(() => view.close());

  for (const { title, prove } of [tokenBucket, circuitBreaking, traces, explained])
    it(title, async (context) => context.diagnostic(await prove(view)));
});

it("a live change of a route is in force without a restart, and loses nothing", async () => {
  const url = "http://reviews:9080/reviews/mug";
  await shop.patchRoute("reviews", [{ op: "replace", path: "/spec/rules/1/backendRefs/0/name", value: "reviews-v2" }]);
  try {
    await shop.untilAnswered({ url, count: 20 }, "version", { "200 v2": 20 });
  } finally {
    await shop.patchRoute("reviews", [
      { op: "replace", path: "/spec/rules/1/backendRefs/0/name", value: "reviews-v1" },
    ]);
  }
  await shop.untilAnswered({ url, count: 20 }, "version", { "200 v1": 20 });
});

it("a killed instance: reads go on while a pod of payments is deleted at once, and it comes back", async () => {
  const running = shop.tally({ url: "http://payments:8080/rates", count: 1500, concurrency: 4 }, "error");
  await shop.killPod("app=payments");
  assert.deepEqual(await running, { "200 ": 1500 });
  await shop.untilReady();
});
