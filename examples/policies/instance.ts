// One instance of a service that does what it is told, well or badly: the applications of docs/policies are made of it.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

/** What a query string can ask for; that of `PUT /fault` holds for every request until `DELETE /fault`. */
interface Conduct {
  readonly status: number;
  readonly delayMs: number;
  /** So many requests with the same URL fail first (counted over all instances of a service). */
  readonly fail: number;
  /** Ends the connection in place of an answer. */
  readonly isCut: boolean;
  readonly headers: readonly string[];
}

/** How often each URL of one service was asked for. */
export type Counts = Map<string, number>;

const FAILED = 503;

/**
 * Starts an instance that answers `NAME METHOD PATH`, and on `/headers` the request's header fields, one a line. Of the query
 * it heeds `status`, `delay` (`500ms`, `2s`), `fail` (a number), `cut`, `header` (`name:value`), each only on the instance that
 * `instance` names, where it is there. `/healthz` answers 200, or what `PUT /fault?...` says.
 */
export async function startInstance(name: string, port: number, counts: Counts): Promise<Server> {
  let fault = new URLSearchParams();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://instance");
    if (url.pathname === "/fault") {
      fault = request.method === "PUT" ? url.searchParams : new URLSearchParams();
      response.end(`${name} has ${fault.size === 0 ? "no fault" : `the fault ${fault.toString()}`}\n`);
      return;
    }
    const isMeant = [name, null].includes(url.searchParams.get("instance"));
    const asked = new URLSearchParams([...fault, ...(isMeant ? url.searchParams : [])]);
    answer(name, request, response, url, conductOf(asked), counts);
  });
  // A sidecar's pooled connection is not ended by us.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return server;
}

function conductOf(query: URLSearchParams): Conduct {
  const [, number = "0", unit] = /^(\d+)(ms|s)$/.exec(query.get("delay") ?? "") ?? [];
  return {
    status: Number(query.get("status") ?? 200),
    delayMs: Number(number) * (unit === "s" ? 1000 : 1),
    fail: Number(query.get("fail") ?? 0),
    isCut: query.has("cut"),
    headers: query.getAll("header"),
  };
}

function answer(
  name: string,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  conduct: Conduct,
  counts: Counts,
): void {
  const before = counts.get(url.href) ?? 0;
  if (conduct.fail > 0) counts.set(url.href, before + 1);
  const isFailing = before < conduct.fail;
  const send = (): void => {
    if (conduct.isCut) {
      request.socket.destroy();
      return;
    }
    response.statusCode = isFailing && conduct.status === 200 ? FAILED : conduct.status;
    response.setHeader("content-type", "text/plain");
    response.setHeader("x-instance", name);
    for (const header of conduct.headers) {
      const [field = "", ...value] = header.split(":");
      response.setHeader(field, value.join(":"));
    }
    response.end(url.pathname === "/headers" ? headersOf(request) : `${name} ${request.method} ${url.pathname}\n`);
  };
  request.resume();
  if (conduct.delayMs > 0) setTimeout(send, conduct.delayMs);
  else request.once("end", send);
}

function headersOf({ rawHeaders }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, at) =>
    at % 2 === 0 ? [`${name.toLowerCase()}: ${rawHeaders[at + 1] ?? ""}\n`] : [],
  );
  return lines.sort().join("");
}
