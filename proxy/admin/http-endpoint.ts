// A small HTTP endpoint for operators: fixed paths, text or JSON answers. Not the data path; node:http serves it.
import http, { type IncomingHttpHeaders } from "node:http";
import net from "node:net";

import type { SocketAddress } from "#config/model/address.ts";
import { describeError } from "#lib/errors.ts";

export interface AdminRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

export interface AdminPage {
  readonly status?: number;
  readonly type?: string;
  /** An object is written as JSON. */
  readonly body: string | Buffer | object;
}

/** `hang-up` closes the connection without an answer. */
export type AdminAnswer = AdminPage | "hang-up";

export type AdminRoutes = Readonly<Record<string, (request: AdminRequest) => AdminAnswer | Promise<AdminAnswer>>>;

export class HttpEndpoint {
  readonly #server: net.Server;
  readonly #routes: AdminRoutes;
  readonly #unlisted: AdminRoutes;
  /** Made when somebody comes: `node:http` is 3 ms and 2 MB that a start need not wait for. */
  #http: http.Server | undefined;

  /** `unlisted` are answered as `routes` are, but told to nobody who asks for something else. */
  constructor(routes: AdminRoutes, unlisted: AdminRoutes = {}) {
    this.#routes = routes;
    this.#unlisted = unlisted;
    this.#server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      // Node documents this event as the way to give a server connections of other origin.
      (this.#http ??= this.#makeHttp()).emit("connection", socket);
    });
  }

  /** Resolves with the port; rejects when the address is taken. */
  listen(address: SocketAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (cause: NodeJS.ErrnoException) => {
        reject(
          new Error(`Cannot listen on ${address.address}:${address.port}: ${cause.code ?? cause.message}`, { cause }),
        );
      });
      this.#server.listen(address.port, address.address, () => {
        const bound = this.#server.address();
        resolve(typeof bound === "object" && bound !== null ? bound.port : address.port);
      });
    });
  }

  close(): void {
    this.#server.close();
    this.#http?.close();
    this.#http?.closeAllConnections();
  }

  #makeHttp(): http.Server {
    const server = http.createServer(
      { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000 },
      (request, response) => {
        void this.#serve(request, response);
      },
    );
    // Its limits of time are watched from then on.
    server.emit("listening");
    return server;
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    // A target that is no URL (`//[`) is answered as an unknown path: a throw here would end the process.
    const url = URL.parse(request.url ?? "/", "http://admin");
    const path = url?.pathname ?? "such path";
    const routes = Object.hasOwn(this.#unlisted, path) ? this.#unlisted : this.#routes;
    const route = url !== null && Object.hasOwn(routes, path) ? routes[path] : undefined;
    request.resume();
    let answer: AdminAnswer;
    try {
      answer =
        route === undefined || url === null
          ? this.#unknown(path)
          : await route({ method: request.method ?? "GET", query: url.searchParams, headers: request.headers });
    } catch (error) {
      answer = { status: 500, body: `${describeError(error)}\n` };
    }
    if (answer === "hang-up") {
      response.destroy();
      return;
    }
    const { status = 200, body } = answer;
    const isText = typeof body === "string" || Buffer.isBuffer(body);
    response.writeHead(status, {
      "content-type": answer.type ?? (isText ? "text/plain; charset=utf-8" : "application/json"),
    });
    response.end(isText ? body : `${JSON.stringify(body, undefined, 2)}\n`);
  }

  #unknown(path: string): AdminAnswer {
    return {
      status: 404,
      body: `There is no ${path}. Paths:\n${Object.keys(this.#routes)
        .map((known) => `  ${known}\n`)
        .join("")}`,
    };
  }
}
