// The control plane's own HTTP: metrics, readiness and what `heddle status` asks for. GET only, JSON.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import { answerDebug, type AdminParts } from "./debug.ts";
import { formatMetrics } from "./metrics.ts";

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws when the address cannot be bound. */
export async function startAdminServer(address: SocketAddress, parts: AdminParts): Promise<AdminServer> {
  const server = createServer((request, response) => answer(request, response, parts));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(new Error(`Cannot listen on ${formatAddress(address)}: ${cause.message}`, { cause })),
    );
    server.listen(address.port, address.address, resolve);
  });
  return {
    // A TCP server's address is never text.
    port: (server.address() as AddressInfo).port,
    close: async () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answer(request: IncomingMessage, response: ServerResponse, parts: AdminParts): void {
  const url = URL.parse(request.url ?? "/", "http://admin");
  if (request.method !== "GET" && request.method !== "HEAD") {
    send(response, 405, { error: "only GET is answered here" });
    return;
  }
  if (url?.pathname === "/metrics") {
    response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
    response.end(formatMetrics(parts));
    return;
  }
  // Answered whatever is known: a registry that is away must not get the process restarted, which still serves its last state.
  if (url?.pathname === "/live") {
    send(response, 200, { live: true });
    return;
  }
  if (url?.pathname === "/ready") {
    const version = parts.store.current?.version;
    send(response, version === undefined ? 503 : 200, { ready: version !== undefined, version });
    return;
  }
  const found = url === null ? undefined : answerDebug(url, parts);
  if (found === undefined) send(response, 404, { error: `there is no ${url?.pathname ?? "such path"}` });
  else send(response, found.status, found.body);
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(`${JSON.stringify(body, undefined, 1)}\n`);
}
