// The applications of the chain: each says who it is, calls the next service that the path names through its own sidecar, and
// forwards baggage as an OpenTelemetry instrumentation does. Nothing else of the request goes on.
import { once } from "node:events";
import http from "node:http";

/** Ports of the application and of its outbound listeners, by service. */
const INSTANCES: Readonly<Record<string, { readonly port: number; readonly next: Readonly<Record<string, number>> }>> =
  {
    web: { port: 18_000, next: { a: 18_004, d: 18_005 } },
    "a-base": { port: 18_100, next: { b: 18_104 } },
    "a-v2": { port: 18_110, next: { b: 18_114 } },
    "b-base": { port: 18_200, next: { c: 18_204, d: 18_205, vault: 18_206 } },
    "c-base": { port: 18_300, next: {} },
    "c-v2": { port: 18_310, next: {} },
    "d-base": { port: 18_400, next: {} },
    "d-green": { port: 18_410, next: {} },
    "vault-acme": { port: 18_500, next: {} },
    "vault-globex": { port: 18_510, next: {} },
  };

export interface Answer {
  readonly status: number;
  /** Who answered, in the order of the chain: `a-v2 b-base c-v2`. */
  readonly body: string;
  readonly headers: http.IncomingHttpHeaders;
}

export class Apps {
  /** Requests that an instance got. */
  readonly received = new Map<string, number>();
  readonly #move: (port: number) => number;
  readonly #servers = new Map<string, http.Server>();

  constructor(move: (port: number) => number) {
    this.#move = move;
  }

  async startAll(): Promise<void> {
    for (const name of Object.keys(INSTANCES)) await this.start(name);
  }

  async start(name: string): Promise<void> {
    const instance = INSTANCES[name];
    if (instance === undefined) throw new Error(`there is no instance ${name}`);
    const server = http.createServer((request, response) => {
      this.received.set(name, (this.received.get(name) ?? 0) + 1);
      const [, service = "", ...rest] = (request.url ?? "/").split("/");
      const port = instance.next[service];
      if (port === undefined) {
        response.end(name);
        return;
      }
      const { baggage } = request.headers;
      const headers = typeof baggage === "string" ? { baggage } : {};
      void call(this.#move(port), `/${rest.join("/")}`, headers).then((answer) => {
        const reason = answer.headers["x-reason"] ?? answer.headers["proxy-status"];
        response.writeHead(answer.status, reason === undefined ? {} : { "x-reason": String(reason) });
        response.end(`${name} ${answer.body}`);
      });
    });
    server.listen(this.#move(instance.port), "127.0.0.1");
    await once(server, "listening");
    this.#servers.set(name, server);
  }

  /** At once, with its connections, as a process that is killed. */
  async kill(name: string): Promise<void> {
    const server = this.#servers.get(name);
    if (server === undefined) return;
    this.#servers.delete(name);
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  }

  async stop(): Promise<void> {
    for (const name of this.#servers.keys()) await this.kill(name);
  }
}

/** One GET on a connection of its own; 0 = nobody answered. */
export function call(port: number, path: string, headers: Readonly<Record<string, string>>): Promise<Answer> {
  return new Promise((resolve) => {
    const request = http.get({ port, path, headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
    });
    request.on("error", (error) => resolve({ status: 0, body: error.message, headers: {} }));
  });
}
