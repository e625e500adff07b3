// Small real applications behind the proxy.
import { once } from "node:events";
import http from "node:http";
import net from "node:net";

export interface App {
  readonly port: number;
  stop(): Promise<void>;
}

/** HTTP/1.1 of Node itself: answers GET with a few bytes, and a body with its own length. */
export function startHttpApp(listener: http.RequestListener = echo): Promise<App> {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, listener);
  return listen(server, () => server.closeAllConnections());
}

function echo(request: http.IncomingMessage, response: http.ServerResponse): void {
  let length = 0;
  request.on("data", (bytes: Buffer) => (length += bytes.length));
  request.on("end", () => response.end(`${request.method} ${request.url} ${length}\n`));
}

/** Opaque bytes. */
export function startTcpApp(onConnection: (socket: net.Socket) => void): Promise<App> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // A client that goes away is no failure of these tests; what it should have got is checked at its end.
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  return listen(server, () => {
    for (const socket of sockets) socket.destroy();
  });
}

export async function listen(server: net.Server, closeAll: () => void): Promise<App> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo; // as: a TCP server that listens
  return {
    port,
    async stop() {
      server.close();
      closeAll();
      if (server.listening) await once(server, "close");
    },
  };
}
