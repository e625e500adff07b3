// The shop works by itself: every application called directly on its port, with no mesh anywhere.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";
import { startCatalog } from "./apps/catalog.ts";
import { startInventory } from "./apps/inventory.ts";
import { startNotifications } from "./apps/notifications.ts";
import { startOrders } from "./apps/orders.ts";
import { startPayments } from "./apps/payments.ts";
import { startReviews } from "./apps/reviews.ts";
import { startShipping } from "./apps/shipping.ts";
import { startStorefront } from "./apps/storefront.ts";
import { CatalogClient } from "./catalog/client.ts";
import { listServices } from "./catalog/reflection.ts";
import { InventoryConnection } from "./inventory/client.ts";
import type { Running, Start } from "./kit/main.ts";
import { makeSettings, type Settings } from "./kit/settings.ts";
import { fieldOf, Load, tally } from "./load.ts";

const running: Running[] = [];
const load = new Load();
const ports = {
  reviews: 0,
  catalog: 0,
  inventory: 0,
  notifications: 0,
  shipping: 0,
  payments: 0,
  orders: 0,
  storefront: 0,
};

async function start(name: keyof typeof ports, run: Start, settings: Partial<Settings> = {}): Promise<void> {
  const service = await run(makeSettings({ instance: `${name}-1`, ...settings }));
  running.push(service);
  ports[name] = service.port;
}

function url(name: keyof typeof ports, path = ""): string {
  return `http://127.0.0.1:${ports[name]}${path}`;
}

before(async () => {
  await start("reviews", startReviews, { version: "v2" });
  await start("catalog", startCatalog, { upstreams: { reviews: url("reviews") } });
  await start("inventory", startInventory);
  await start("notifications", startNotifications);
  await start("shipping", startShipping, {
    upstreams: { inventory: `127.0.0.1:${ports.inventory}`, notifications: url("notifications") },
  });
  await start("payments", startPayments);
  await start("orders", startOrders, {
    tenant: "acme",
    upstreams: { payments: url("payments"), shipping: url("shipping") },
  });
  await start("storefront", startStorefront, {
    upstreams: { catalog: url("catalog"), reviews: url("reviews"), orders: url("orders") },
  });
});

after(async () => {
  await load.close();
  for (const service of running.reverse()) await service.close();
});

test("storefront shows a product with its reviews and the rating that catalog asked for", async () => {
  const { status, body } = await load.call({ url: url("storefront", "/products/mug") });
  assert.equal(status, 200);
  assert.deepEqual(body, {
    product: { sku: "mug", name: "A mug", cents: 900, rating: 4, instance: "catalog-1" },
    reviews: {
      sku: "mug",
      reviews: [
        { text: "Holds tea.", stars: 4 },
        { text: "Holds coffee too.", stars: 4 },
      ],
      version: "v2",
      instance: "reviews-1",
    },
  });
});

test("storefront answers 404 for a product that catalog does not know", async () => {
  assert.equal((await load.call({ url: url("storefront", "/products/anvil") })).status, 404);
});

test("storefront quotes over the bidirectional stream, in order", async () => {
  const { body } = await load.call({ url: url("storefront", "/quotes?sku=teapot&sku=mug") });
  assert.deepEqual(body, {
    quotes: [
      { sku: "teapot", quantity: 1, cents: 4200, instance: "catalog-1" },
      { sku: "mug", quantity: 1, cents: 900, instance: "catalog-1" },
    ],
  });
});

test("catalog names its services to who asks by reflection", async () => {
  assert.deepEqual(await listServices(`127.0.0.1:${ports.catalog}`), ["shop.Catalog"]);
});

test("catalog streams as many price changes as were asked for", async () => {
  const client = new CatalogClient(url("catalog"));
  assert.equal((await client.watch({ sku: "mug", count: 50 })).length, 50);
  client.close();
});

test("an order is paid, taken out of the stock, and announced to browsers", async () => {
  const socket = new WebSocket(`ws://127.0.0.1:${ports.notifications}/ws`);
  const messages: unknown[] = [];
  const arrived = Promise.withResolvers<void>();
  socket.on("message", (data: Buffer) => {
    messages.push(JSON.parse(data.toString("utf8")));
    if (messages.length === 2) arrived.resolve();
  });
  await once(socket, "open");
  const order = await load.call({
    url: url("storefront", "/orders"),
    method: "POST",
    headers: { "x-tenant": "acme", "idempotency-key": "order-7" },
    body: { sku: "kettle", quantity: 2 },
  });
  assert.equal(order.status, 201);
  assert.deepEqual(order.body, { id: "order-7", sku: "kettle", quantity: 2, tenant: "acme", instance: "orders-1" });
  await arrived.promise;
  assert.deepEqual(messages, [
    { type: "welcome", instance: "notifications-1" },
    { type: "push", topic: "shipped", order: "order-7", sku: "kettle" },
  ]);
  socket.close();
  await once(socket, "close");
  const inventory = await InventoryConnection.open(`127.0.0.1:${ports.inventory}`);
  assert.equal((await inventory.ask("STOCK kettle")).text, "kettle 999998");
  inventory.finish();
  await inventory.closed;
});

test("the same Idempotency-Key is charged once however often it is sent", async () => {
  await load.call({ url: url("payments", "/_stats/reset"), method: "POST" });
  const charge = {
    url: url("payments", "/charges"),
    method: "POST",
    headers: { "idempotency-key": "k-1" },
    body: {},
  } as const;
  const outcomes = await load.many(5, 1, () => charge);
  assert.deepEqual(
    tally(outcomes, (outcome) => outcome.status),
    { 200: 4, 201: 1 },
  );
  assert.equal(new Set(outcomes.map((outcome) => fieldOf(outcome, "charge"))).size, 1);
});

test("payments fails every third request after its work was done, and says how often it was executed", async () => {
  await load.call({ url: url("payments", "/_stats/reset"), method: "POST" });
  await load.call({ url: url("payments", "/_fault"), method: "POST", body: { everyNth: 3 } });
  const outcomes = await load.many(9, 1, (index) => ({
    url: url("payments", "/charges"),
    method: "POST",
    headers: { "x-request-id": `r-${index}` },
    body: {},
  }));
  await load.call({ url: url("payments", "/_fault"), method: "POST", body: {} });
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    [201, 201, 503, 201, 201, 503, 201, 201, 503],
  );
  const { body } = await load.call({ url: url("payments", "/_stats") });
  assert.ok(
    typeof body === "object" && body !== null && "executions" in body && "received" in body && "failed" in body,
  );
  assert.deepEqual([body.received, body.failed], [9, 3]);
  assert.deepEqual(new Set(Object.values(body.executions ?? {})), new Set([1]));
});

test("a fault with status 0 breaks the connection without an answer", async () => {
  await load.call({ url: url("payments", "/_fault"), method: "POST", body: { everyNth: 1, status: 0 } });
  const { status, error } = await load.call({ url: url("payments", "/rates") });
  await load.call({ url: url("payments", "/_fault"), method: "POST", body: {} });
  assert.equal(status, 0);
  assert.match(error, /UND_ERR_SOCKET|ECONNRESET/u);
});

test("a fault with a field that does not exist is refused by name", async () => {
  const outcome = await load.call({ url: url("payments", "/_fault"), method: "POST", body: { evryNth: 3 } });
  assert.equal(outcome.status, 400);
  assert.match(fieldOf(outcome, "error"), /no field "evryNth"/u);
});

test("trace headers reach payments through storefront and orders, but shipping forgets them", async () => {
  for (const name of ["payments", "shipping", "notifications"] as const) {
    await load.call({ url: url(name, "/_stats/reset"), method: "POST" });
  }
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const headers = { traceparent, "x-tenant": "acme" };
  await load.call({ url: url("storefront", "/orders"), method: "POST", headers, body: { sku: "mug", quantity: 1 } });
  const traced: Record<string, string> = {};
  for (const name of ["payments", "shipping", "notifications"] as const) {
    traced[name] = fieldOf(await load.call({ url: url(name, "/_stats") }), "traced");
  }
  assert.deepEqual(traced, { payments: "1", shipping: "1", notifications: "0" });
});
