// inventory: what is in stock, over a TCP protocol of its own in which the server speaks first (inventory/protocol.ts).
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { formatReply, LineReader } from "../inventory/protocol.ts";
import { runMain, type Running } from "../kit/main.ts";
import type { Settings } from "../kit/settings.ts";

/** Starts the inventory with a full stock. */
export async function startInventory(settings: Settings): Promise<Running> {
  const stock = new Map([
    ["mug", 1_000_000],
    ["teapot", 1_000_000],
    ["kettle", 1_000_000],
  ]);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    converse(socket, settings.instance, stock).catch(() => socket.destroy());
  });
  server.listen(settings.port, settings.host);
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error(`${settings.instance} listens on no port`);
  return {
    port: address.port,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.end(formatReply(421, ["closing down"]), () => socket.destroySoon());
      await closed;
    },
  };
}

/** One connection from greeting to good-bye; waits for the reader when it is slow. */
async function converse(socket: Socket, instance: string, stock: Map<string, number>): Promise<void> {
  const lines = new LineReader();
  socket.write(formatReply(220, [`${instance} stock service ready`]));
  for await (const chunk of socket) {
    for (const line of lines.push(chunk as Buffer)) {
      // a socket without encoding reads Buffers
      if (line.toUpperCase() === "QUIT") {
        socket.end(formatReply(221, ["bye"]));
        return;
      }
      if (!socket.write(execute(line, stock))) await once(socket, "drain");
    }
  }
  // The client half-closed: it still reads.
  if (!socket.writableEnded) socket.end(formatReply(221, ["bye"]));
}

function execute(line: string, stock: Map<string, number>): string {
  const [verb = "", sku = "", count = ""] = line.split(" ");
  switch (verb.toUpperCase()) {
    case "STOCK":
      return stock.has(sku)
        ? formatReply(250, [`${sku} ${stock.get(sku)}`])
        : formatReply(550, [`no such item ${sku}`]);
    case "RESERVE":
      return reserve(stock, sku, Number(count));
    case "LIST":
      return formatReply(
        250,
        [...stock].map(([item, left]) => `${item} ${left}`),
      );
    case "HISTORY": {
      const length = Number(sku);
      if (!Number.isInteger(length) || length < 1 || length > 100_000)
        return formatReply(501, ["HISTORY takes 1 to 100000"]);
      return formatReply(
        250,
        Array.from({ length }, (_, index) => `${index + 1} reserved mug 1 for the long history of mugs`),
      );
    }
    default:
      return formatReply(500, ["unknown command"]);
  }
}

function reserve(stock: Map<string, number>, sku: string, count: number): string {
  const left = stock.get(sku);
  if (left === undefined) return formatReply(550, [`no such item ${sku}`]);
  if (!Number.isInteger(count) || count < 1) return formatReply(501, ["RESERVE takes an item and a count"]);
  if (count > left) return formatReply(552, [`only ${left} left`]);
  stock.set(sku, left - count);
  return formatReply(250, [`${sku} ${left - count}`]);
}

if (import.meta.main) await runMain("inventory", startInventory);
