// orders: takes the orders of one tenant, has them paid and shipped.
import { businessHeaders, traceHeaders } from "../kit/forward.ts";
import { HttpClient } from "../kit/http-client.ts";
import { BadRequest, headerOf, objectBody, startHttpService, type Answer, type Ask } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import { Recent } from "../kit/recent.ts";
import { relay } from "../kit/relay.ts";
import { upstreamOf, type Settings } from "../kit/settings.ts";

/** Orders remembered. */
const KEPT = 10_000;

interface Order {
  readonly id: string;
  readonly sku: string;
  readonly quantity: number;
  /** The tenant whose instance took it. */
  readonly tenant: string;
  readonly instance: string;
}

/** Starts orders for `settings.tenant`; needs `PAYMENTS_URL` and `SHIPPING_URL`. */
export async function startOrders(settings: Settings): Promise<Running> {
  const payments = new HttpClient(upstreamOf(settings, "payments"));
  const shipping = new HttpClient(upstreamOf(settings, "shipping"));
  const orders = new Recent<Order>(KEPT);
  let placed = 0;

  const place = async (ask: Ask): Promise<Answer> => {
    placed += 1;
    const order = makeOrder(settings, ask, placed);
    const known = orders.get(order.id);
    if (known !== undefined) return { status: 200, body: known };
    const headers = { ...traceHeaders(ask.headers), ...businessHeaders(ask.headers) };
    const charge = await payments.post("/charges", { ...headers, "idempotency-key": order.id }, { order: order.id });
    if (charge.status >= 400) return relay("payments", charge);
    const shipment = await shipping.post("/shipments", { ...headers, "idempotency-key": order.id }, order);
    if (shipment.status >= 400) return relay("shipping", shipment);
    orders.set(order.id, order);
    return { status: 201, body: order };
  };

  const service = await startHttpService(settings, (ask) => {
    if (ask.path[0] !== "orders") return undefined;
    if (ask.method === "POST") return place(ask);
    const source = { tenant: settings.tenant, instance: settings.instance };
    return ask.method === "GET" ? { status: 200, body: { orders: [...orders.values()], ...source } } : undefined;
  });
  return {
    port: service.port,
    close: async () => {
      await service.close();
      await Promise.all([payments.close(), shipping.close()]);
    },
  };
}

/** The caller's `Idempotency-Key` is the order's id, so that an order sent twice is one order. */
function makeOrder(settings: Settings, ask: Ask, sequence: number): Order {
  const { sku, quantity = 1 } = objectBody(ask);
  if (typeof sku !== "string" || typeof quantity !== "number")
    throw new BadRequest("an order has a sku and a quantity");
  const id = headerOf(ask, "idempotency-key") ?? `${settings.instance}-${sequence}`;
  return { id, sku, quantity, tenant: settings.tenant, instance: settings.instance };
}

if (import.meta.main) await runMain("orders", startOrders);
