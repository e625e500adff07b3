// shipping: takes goods out of the inventory (its own TCP protocol) and has customers notified.
// It was written before anybody thought of tracing: it passes no trace header on. The mesh has to find and name it.
import { HttpClient } from "../kit/http-client.ts";
import { BadRequest, objectBody, startHttpService, type Answer, type Ask } from "../kit/http-service.ts";
import { runMain, type Running } from "../kit/main.ts";
import { upstreamOf, type Settings } from "../kit/settings.ts";
import { InventoryConnection } from "../inventory/client.ts";

/** Starts shipping; needs `INVENTORY_URL` (`host:port`) and `NOTIFICATIONS_URL`. */
export async function startShipping(settings: Settings): Promise<Running> {
  const inventory = upstreamOf(settings, "inventory");
  const notifications = new HttpClient(upstreamOf(settings, "notifications"));

  let shipped = 0;
  const ship = async (ask: Ask): Promise<Answer> => {
    const { id, sku, quantity } = objectBody(ask);
    if (typeof id !== "string" || typeof sku !== "string" || typeof quantity !== "number") {
      throw new BadRequest("a shipment has an id, a sku and a quantity");
    }
    const left = await reserve(inventory, sku, quantity);
    shipped += 1;
    const pushed = await notifications.post("/publish", {}, { topic: "shipped", order: id, sku });
    return { status: 201, body: { order: id, left, notified: pushed.status === 202, instance: settings.instance } };
  };

  const service = await startHttpService(settings, (ask) => {
    if (ask.path[0] !== "shipments") return undefined;
    if (ask.method === "POST") return ship(ask);
    return ask.method === "GET" ? { status: 200, body: { shipped, instance: settings.instance } } : undefined;
  });
  return {
    port: service.port,
    close: async () => {
      await service.close();
      await notifications.close();
    },
  };
}

/** One connection for each shipment: asks, says that it has nothing more to say (half-close), and reads to the end. */
async function reserve(address: string, sku: string, quantity: number): Promise<string> {
  const connection = await InventoryConnection.open(address);
  const reply = connection.ask(`RESERVE ${sku} ${quantity}`);
  connection.finish();
  const { text } = await reply;
  await connection.closed;
  return text;
}

if (import.meta.main) await runMain("shipping", startShipping);
