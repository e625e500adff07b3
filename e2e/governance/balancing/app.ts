// One instance: answers with its name after a time that may be changed, and may be killed.
import { once } from "node:events";
import http from "node:http";

/** What its sidecar would say if it had next to nothing to do. */
export const FORGED = "TEXT rps_fractional=1000000,eps=0,application_utilization=0.001";

export class App {
  readonly name: string;
  delayMs = 0;
  /** Adds a load report of its own making, by the name that only sidecars may use. */
  isForging = false;
  /** How often a request came with a field of the mesh's own. */
  fieldsOfTheMesh = 0;
  /** Connections that it has ever had. */
  connections = 0;
  readonly #port: number;
  #server: http.Server | undefined;

  constructor(name: string, port: number) {
    this.name = name;
    this.#port = port;
  }

  async start(): Promise<void> {
    const server = http.createServer((request, response) => {
      if (Object.keys(request.headers).some((name) => name.startsWith("heddle-"))) this.fieldsOfTheMesh++;
      setTimeout(() => {
        response.writeHead(200, this.isForging ? { "heddle-load-report": FORGED } : {});
        response.end(this.name);
      }, this.delayMs);
    });
    server.on("connection", () => this.connections++);
    server.keepAliveTimeout = 60_000;
    server.listen(this.#port, "127.0.0.1");
    await once(server, "listening");
    this.#server = server;
  }

  /** At once, with its connections, as a process that is killed. */
  async kill(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }
}
