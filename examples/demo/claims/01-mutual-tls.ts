// Claim 1, every hop between sidecars is one pooled mutual-TLS HTTP/2 connection.
//  - Traffic of every kind goes through the shop: 400 HTTP requests 40 at a time, gRPC unary, bidirectional and reflection,
//    WebSocket, orders of both tenants, and 8 conversations with the inventory (opaque TCP, the server speaks first) that
//    are open at the same time. Then the kernel is asked which connections each sidecar has: exactly one to each sidecar
//    that it called (and one of its health checker, where the YAML asks for active checks), and none to an application
//    other than its own.
//  - Identities: the callee's access log names the caller's SPIFFE id, and its application is told both ids
//    (x-forwarded-client-cert). That the caller checks the callee's as well is shown by the last point.
//  - Strangers: plaintext (HTTP/1.1, HTTP/2), TLS without a certificate, and TLS with a self-signed certificate that claims
//    a real SPIFFE id, at every sidecar's mesh port: closed or refused, over TLS without one byte, and no application
//    receives anything.
//  - The wrong service: where the vault should be, the sidecar of reviews answers with its own valid certificate (the demo
//    hands the bytes over): the shopper's sidecar must refuse it, and say so.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { WebSocket } from "ws";
import { CatalogClient } from "../../shop/catalog/client.ts";
import { listServices } from "../../shop/catalog/reflection.ts";
import { InventoryConnection } from "../../shop/inventory/client.ts";
import { tally } from "../../shop/load.ts";
import { claim, type Claim } from "../claim.ts";
import { forgeIdentity } from "../impostor.ts";
import { knockPlain, knockTls, type Knock } from "../knock.ts";
import { connectionsOf } from "../observe/connections.ts";
import type { Shop } from "../shop.ts";
import { until } from "../wait.ts";

const REQUESTS = 400;
const CONVERSATIONS = 8;
const TRUST = "spiffe://cluster.local/ns/shop/sa";

export const mutualTls = {
  number: 1,
  title: "mutual TLS",
  prove: async (shop: Shop): Promise<string> => {
    await useHttp(shop);
    await useGrpc(shop);
    await useWebSocket(shop);
    await useOrders(shop);
    const pooled = await withOpaque(shop, () => countHops(shop));
    await identitiesAreVerified(shop);
    const refused = await strangersAreRefused(shop);
    const reason = await wrongServiceIsRefused(shop);
    return `${pooled}; both SPIFFE ids verified; ${refused} plaintext and forged connections refused; wrong service: ${reason}`;
  },
} satisfies Claim;

async function useHttp(shop: Shop): Promise<void> {
  const outcomes = await shop.load.many(REQUESTS, 40, () => ({
    url: shop.url("shopper-1", "reviews", "/reviews/mug"),
  }));
  const counts = tally(outcomes, ({ status, error }) => `${status} ${error}`.trim());
  claim(counts["200"] === REQUESTS, `HTTP through the mesh: ${JSON.stringify(counts)}`);
  const products = await shop.load.call({ url: shop.url("shopper-1", "storefront", "/products/mug") });
  claim(products.status === 200, `a product page was answered ${products.status} ${JSON.stringify(products.body)}`);
}

async function useGrpc(shop: Shop): Promise<void> {
  const address = `127.0.0.1:${shop.outboundPort("shopper-1", "catalog")}`;
  const client = new CatalogClient(address);
  try {
    const products = await client.list();
    claim(products.length === 3, `gRPC unary gave ${products.length} products, not 3`);
    const requests = Array.from({ length: 100 }, (_, index) => ({ sku: "mug", quantity: index + 1 }));
    const quotes = await client.quote(requests);
    claim(
      quotes.length === 100 &&
        quotes.every(({ quantity, cents }, index) => quantity === index + 1 && cents === 900 * quantity),
      `the bidirectional stream gave ${quotes.length} quotes of 100, or wrong ones`,
    );
  } finally {
    client.close();
  }
  const services = await listServices(address);
  claim(services.includes("shop.Catalog"), `gRPC reflection named ${services.join(", ")}`);
}

async function useWebSocket(shop: Shop): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${shop.outboundPort("shopper-1", "notifications")}/ws`);
  const messages: string[] = [];
  socket.on("message", (data: Buffer) => messages.push(data.toString("utf8")));
  try {
    await once(socket, "open");
    const text = randomUUID();
    socket.send(text);
    await until("the WebSocket to echo", () => messages.some((message) => message.includes(text)) || undefined);
  } finally {
    socket.terminate();
  }
}

async function useOrders(shop: Shop): Promise<void> {
  for (const tenant of ["acme", "acme", "globex"]) {
    const outcome = await shop.load.call({
      url: shop.url("shopper-1", "storefront", "/orders"),
      method: "POST",
      headers: { "x-tenant": tenant, "idempotency-key": randomUUID() },
      body: { sku: "mug", quantity: 1 },
    });
    claim(
      outcome.status === 201,
      `an order of ${tenant} was answered ${outcome.status} ${JSON.stringify(outcome.body)}`,
    );
  }
}

/** Holds conversations with the inventory while `work` runs. */
async function withOpaque<T>(shop: Shop, work: () => Promise<T>): Promise<T> {
  const address = `127.0.0.1:${shop.outboundPort("shopper-1", "inventory")}`;
  const open = await Promise.all(Array.from({ length: CONVERSATIONS }, () => InventoryConnection.open(address)));
  try {
    for (const conversation of open) {
      claim(conversation.greeting.startsWith("inventory-1"), `the inventory greeted with "${conversation.greeting}"`);
      const { lines } = await conversation.ask("HISTORY 2000");
      claim(lines.length === 2000, `the inventory's history of 2000 lines came as ${lines.length}`);
    }
    return await work();
  } finally {
    for (const conversation of open) conversation.finish();
    await Promise.all(open.map(({ closed }) => closed));
  }
}

/** Hops that the traffic above certainly used. */
const CERTAIN = [
  ["shopper-1", "reviews-v1-1"],
  ["shopper-1", "catalog-1"],
  ["shopper-1", "storefront-1"],
  ["shopper-1", "notifications-1"],
  ["shopper-1", "inventory-1"],
  ["storefront-1", "catalog-1"],
  ["storefront-1", "orders-globex-1"],
  ["shipping-1", "notifications-1"],
  ["shipping-1", "inventory-1"],
] as const;

/** Active health checks ask these over a connection of their own, from the same process. */
const CHECKED = ["payments-1", "payments-2", "payments-3"] as const;

async function countHops(shop: Shop): Promise<string> {
  const owners = new Map(shop.workloads.map(({ name, sidecar }) => [sidecar?.inboundPort ?? 0, name]));
  const applications = new Map(shop.workloads.map(({ name, appPort }) => [appPort, name]));
  const hops = new Map<string, number>();
  for (const name of shop.runningSidecars) {
    const connections = await connectionsOf(shop.sidecarPid(name));
    if (connections === undefined) return "connections not counted (this system has no /proc)";
    for (const { remotePort } of connections) {
      const application = applications.get(remotePort);
      claim(
        application === undefined || application === name,
        `the sidecar of ${name} has a plaintext connection to the application ${application}`,
      );
      const peer = owners.get(remotePort);
      if (peer !== undefined) hops.set(`${name} ${peer}`, (hops.get(`${name} ${peer}`) ?? 0) + 1);
    }
  }
  let checkers = 0;
  for (const [hop, count] of hops) {
    const most = CHECKED.some((name) => hop.endsWith(` ${name}`)) ? 2 : 1;
    claim(count <= most, `${count} connections for the hop ${hop.replace(" ", " to ")}`);
    checkers += count - 1;
  }
  for (const [from, to] of CERTAIN) claim(hops.has(`${from} ${to}`), `no connection for the hop ${from} to ${to}`);
  return `${hops.size} hops with 1 pooled connection each (and ${checkers} of health checkers) under ${REQUESTS} requests and ${CONVERSATIONS} opaque streams`;
}

async function identitiesAreVerified(shop: Shop): Promise<void> {
  const id = randomUUID();
  const url = shop.url("shopper-1", "reviews", "/reviews/mug");
  const outcome = await shop.load.call({ url, headers: { "x-request-id": id } });
  const requestId = outcome.headers["x-request-id"] ?? id;
  const record = await until("the access record of reviews", () =>
    shop.accessLog("reviews-v1-1").byRequestId(requestId),
  );
  claim(record.peerIdentity === `${TRUST}/shopper`, `reviews took the caller for "${record.peerIdentity}"`);
  const { arrivals } = await shop.stats("reviews-v1-1");
  const told = arrivals.findLast(({ key }) => key === requestId)?.headers["x-forwarded-client-cert"] ?? "";
  claim(told.includes(`URI=${TRUST}/shopper`), `reviews itself was told of the caller: "${told}"`);
  claim(told.includes(`By=${TRUST}/reviews`), `reviews itself was told of its own identity: "${told}"`);
}

/** Applications that count what they receive. */
const COUNTING = [
  "storefront-1",
  "reviews-v1-1",
  "reviews-v2-1",
  "payments-1",
  "shipping-1",
  "notifications-1",
] as const;

async function strangersAreRefused(shop: Shop): Promise<number> {
  const forged = await forgeIdentity(`${TRUST}/storefront`);
  await shop.resetStats(...COUNTING);
  let refused = 0;
  for (const name of shop.runningSidecars) {
    const port = shop.sidecarOf(name).inboundPort;
    const knocks: readonly (readonly [string, Promise<Knock>])[] = [
      ["plaintext HTTP/1.1", knockPlain(port, "http1")],
      ["plaintext HTTP/2", knockPlain(port, "http2")],
      ["TLS without a certificate", knockTls(port, undefined)],
      ["TLS with a forged certificate", knockTls(port, forged)],
    ];
    for (const [what, knock] of knocks) {
      const { answer, end } = await knock;
      claim(end !== "open", `${what} to the STRICT port of ${name} was neither answered nor closed`);
      claim(!/HTTP\/1\.[01] [12]/u.test(answer.toString("latin1")), `${what} to the STRICT port of ${name} was served`);
      claim(
        what.startsWith("plaintext") || answer.length === 0,
        `${what} to the STRICT port of ${name} was answered ${answer.length} bytes`,
      );
      refused += 1;
    }
  }
  for (const name of COUNTING) {
    const { received } = await shop.stats(name);
    claim(received === 0, `${name} received ${received} requests of those who were refused`);
  }
  return refused;
}

async function wrongServiceIsRefused(shop: Shop): Promise<string> {
  await shop.resetStats("reviews-v1-1");
  const relay = await startRelay(shop.sidecarOf("vault-1").inboundPort, shop.sidecarOf("reviews-v1-1").inboundPort);
  try {
    const outcome = await shop.load.call({ url: shop.url("shopper-1", "vault", "/reviews/mug") });
    claim(outcome.status === 503, `a service with the certificate of another was answered ${outcome.status}`);
    const reason = outcome.headers["proxy-status"] ?? "";
    claim(/tls|certificate/iu.test(reason), `the refusal of a wrong certificate says "${reason}"`);
    const { received } = await shop.stats("reviews-v1-1");
    claim(received === 0, "the request for the vault reached reviews");
    return `503, ${reason}`;
  } finally {
    relay.close();
  }
}

/** Hands the bytes of every connection at `from` to `to` and back. */
async function startRelay(from: number, to: number): Promise<Server> {
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    near.pipe(far).pipe(near);
    near.on("error", () => far.destroy());
    far.on("error", () => near.destroy());
  });
  server.listen(from, "127.0.0.1");
  await once(server, "listening");
  return server;
}
