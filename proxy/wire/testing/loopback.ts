// Wires of accepted sockets on loopback, each with its client, for tests.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { acceptWire } from "../accept.ts";
import type { Wire } from "../wire.ts";
import type { WireLoop } from "../wire-loop.ts";

export class Loopback {
  readonly #servers: Server[] = [];
  readonly #clients: Socket[] = [];

  async accept(loop: WireLoop): Promise<{ wire: Wire; client: Socket; server: Server }> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    this.#servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
    this.#clients.push(client);
    const [[accepted]] = (await Promise.all([once(server, "connection"), once(client, "connect")])) as [[Socket], []];
    return { wire: acceptWire(loop, accepted), client, server };
  }

  close(): void {
    for (const client of this.#clients) client.destroy();
    for (const server of this.#servers) server.close();
  }
}
