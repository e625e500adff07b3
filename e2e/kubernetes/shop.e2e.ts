// The shop of examples/ as ordinary Deployments and Services with injected sidecars: what its demo claims on one machine holds in a
// cluster, through interception. The applications call http://SERVICE:PORT and know of no mesh.
// Time limit: 900 s.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { circuitBreaking } from "../../examples/demo/claims/06-circuit-breaking.ts";
import { explained } from "../../examples/demo/claims/09-explained.ts";
import { retries } from "../../examples/demo/claims/04-retries.ts";
import { tenants } from "../../examples/demo/claims/03-tenants.ts";
import { tokenBucket } from "../../examples/demo/claims/05-token-bucket.ts";
import { traces } from "../../examples/demo/claims/07-traces.ts";
import { versions } from "../../examples/demo/claims/02-versions.ts";
import { type Outcome, tally } from "../../examples/shop/load.ts";
import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { installMesh } from "./mesh.ts";
import { ShopInCluster } from "./shop/shop.ts";
import { ClusterShopView } from "./shop/view.ts";

let shop: ShopInCluster;
let view: ClusterShopView;
const undo: (() => Promise<void>)[] = [];

before(async () => {
  const cluster = Cluster.join();
  await installMesh(cluster);
  shop = new ShopInCluster(cluster);
  undo.push(() => shop.remove());
  await shop.deploy();
  view = await ClusterShopView.open(cluster);
  undo.push(() => view.close());
  // Sixteen sidecars that have just started meet each other for the first time, and a busy machine takes long over the handshakes.
  const url = view.url("shopper-1", "storefront", "/reviews/mug");
  const isOpen = async (): Promise<boolean> =>
    (await view.load.many(16, 16, () => ({ url }))).every(({ status }) => status === 200);
  await until("the shop is open", isOpen, 120_000);
});
after(async () => {
  for (const step of undo.toReversed()) await step();
});

it("every pod has its sidecar, and every application is ready", async () => {
  const pods = await shop.pods();
  assert.equal(pods.length, 15);
  for (const { name, containers } of pods) assert.ok(containers.includes("heddle-proxy"), `${name} has no sidecar`);
});

describe("claims of the demo, as it checks them on one machine", () => {
  for (const { title, prove } of [versions, tenants, retries, tokenBucket, circuitBreaking, traces, explained])
    it(title, async (context) => context.diagnostic(await prove(view)));
});

describe("every protocol passes", () => {
  it("an order goes through storefront, orders, payments, shipping, and by TCP to the inventory", async () => {
    const url = view.url("shopper-1", "storefront", "/orders");
    const body = { sku: "mug", quantity: 1 };
    const outcomes = await view.load.many(5, 5, () => ({ url, method: "POST", headers: { "x-tenant": "acme" }, body }));
    assert.deepEqual(countBy(outcomes, "tenant"), { "201 acme": 5 });
  });

  it("gRPC: products are listed and quoted by the catalog", async () => {
    const products = view.url("shopper-1", "storefront", "/products/mug");
    assert.deepEqual(countBy(await view.load.many(5, 5, () => ({ url: products })), "product", "sku"), {
      "200 mug": 5,
    });
    const quotes = view.url("shopper-1", "storefront", "/quotes?sku=mug");
    assert.deepEqual(countBy(await view.load.many(5, 5, () => ({ url: quotes })), "quotes", "0", "cents"), {
      "200 900": 5,
    });
  });
});

it("mutual TLS: the callee is told both identities, and plaintext from outside of the mesh is refused", async () => {
  await view.load.call({ url: view.url("shopper-1", "reviews", "/reviews/mug") });
  const arrivals = JSON.stringify((await view.stats("reviews-v1-1")).arrivals);
  assert.match(arrivals, /URI=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/shopper/);
  assert.match(arrivals, /By=spiffe:\/\/cluster\.local\/ns\/shop\/sa\/reviews/);
  // This test runs on the node, and is no part of the mesh.
  const url = `http://${view.addressOf("reviews-v1-1")}:9080/reviews/mug`;
  await assert.rejects(fetch(url, { signal: AbortSignal.timeout(10_000) }));
});

it("a live change of a route is in force without a restart, and loses nothing", async () => {
  const traffic = view.load.keepCalling(4, () => ({ url: view.url("shopper-1", "reviews", "/reviews/mug") }));
  const untilOnly = (version: string): Promise<void> =>
    until(
      `only ${version} answers`,
      () => {
        const last = traffic.outcomes.slice(-20);
        return last.length === 20 && countBy(last, "version")[`200 ${version}`] === 20;
      },
      60_000,
    );
  const backend = "/spec/rules/1/backendRefs/0/name";
  try {
    await untilOnly("v1");
    await shop.patchRoute("reviews", [{ op: "replace", path: backend, value: "reviews-v2" }]);
    await untilOnly("v2");
  } finally {
    await shop.patchRoute("reviews", [{ op: "replace", path: backend, value: "reviews-v1" }]);
  }
  await untilOnly("v1");
  assert.deepEqual(Object.keys(tally(await traffic.stop(), ({ status, error }) => `${status}${error}`)), ["200"]);
});

it("a killed instance: reads go on while a pod of payments is deleted at once, and it comes back", async () => {
  const traffic = view.load.keepCalling(4, () => ({ url: view.url("shopper-1", "payments", "/rates") }));
  await shop.killPod(view.nameOf("payments-1"));
  await shop.untilReady();
  assert.deepEqual(Object.keys(tally(await traffic.stop(), ({ status, error }) => `${status}${error}`)), ["200"]);
});

/** How often which status came, with what the answers' bodies have there. */
function countBy(outcomes: readonly Outcome[], ...names: readonly string[]): Record<string, number> {
  return tally(outcomes, ({ status, error, body }) => {
    let value: unknown = body;
    for (const name of names)
      value = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
    return `${status} ${error}${String(value)}`;
  });
}
