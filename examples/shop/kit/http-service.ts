// The HTTP/1.1 JSON server that the shop's applications share: routing, health, faults and counts.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { Faults } from "./faults.ts";
import { businessHeaders, traceHeaders } from "./forward.ts";
import type { Running } from "./main.ts";
import type { Settings } from "./settings.ts";
import { Stats } from "./stats.ts";

/** One request as a handler sees it. */
export interface Ask {
  readonly method: string;
  /** Path without the query, decoded and split: `/products/mug` is `["products", "mug"]`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** The JSON body; undefined when there was none. */
  readonly body: unknown;
}

/** What a handler answers; `undefined` from a handler is 404. */
export interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Handler = (ask: Ask) => Promise<Answer | undefined> | Answer | undefined;

/** A running HTTP service, with its server for those who add to it (WebSocket). */
export interface HttpService extends Running {
  readonly server: Server;
}

/** A body larger than this is refused with 413. */
const MAX_BODY_BYTES = 1024 * 1024;
/** How long a running request may take after SIGTERM. */
const CLOSE_MS = 5_000;

/** A request that the caller got wrong. */
export class BadRequest extends Error {
  readonly status: number;

  constructor(message: string, status = 400) {
    super(message);
    this.status = status;
  }
}

/**
 * Starts a JSON service. Beside `handle` it answers `GET /healthz`, `GET /_stats`, `POST /_stats/reset`,
 * `GET /_fault` and `POST /_fault` (see Fault); these are for the tests and are reached on the application's own port.
 */
export async function startHttpService(settings: Settings, handle: Handler): Promise<HttpService> {
  const faults = new Faults(settings.failEvery > 0 ? { everyNth: settings.failEvery } : {});
  const stats = new Stats();
  const server = createServer((request, response) => {
    serve(request, response, settings, handle, faults, stats).catch((error: unknown) => {
      const status = error instanceof BadRequest ? error.status : 500;
      send(response, { status, body: { error: error instanceof Error ? error.message : String(error) } }, settings);
    });
  });
  // A client that keeps connections must never meet the end of ours: they end when the client or the process does.
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(settings.port, settings.host, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error(`${settings.instance} listens on no port`);
  return { port: address.port, server, close: () => closeServer(server) };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  settings: Settings,
  handle: Handler,
  faults: Faults,
  stats: Stats,
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://shop");
  const method = request.method ?? "GET";
  const body = await readJson(request);
  const path = url.pathname.split("/").filter((part) => part !== "");
  const ask = { method, path: path.map(decodeURIComponent), query: url.searchParams, headers: request.headers, body };
  const administrative = administer(ask, settings, faults, stats);
  if (administrative !== undefined) {
    send(response, administrative, settings);
    return;
  }
  const key = headerOf(ask, "idempotency-key") ?? headerOf(ask, "x-request-id") ?? "";
  const isTraced = ask.headers["traceparent"] !== undefined || ask.headers["b3"] !== undefined;
  stats.arrived(
    {
      key,
      method,
      path: url.pathname,
      atMs: performance.timeOrigin + performance.now(),
      headers: originOf(ask.headers),
    },
    isTraced,
    headerOf(ask, "x-tenant") ?? "",
  );
  const strikes = faults.strikes();
  const { delayMs = 0, status = 503, when = "after" } = faults.current;
  if (delayMs > 0) await delay(delayMs);
  let answer: Answer | undefined;
  if (!strikes || when === "after") {
    answer = await handle(ask);
    stats.executed(key);
  }
  if (strikes) {
    stats.failed();
    if (status === 0) {
      request.socket.destroy();
      return;
    }
    answer = { status, body: { error: "a fault was injected", instance: settings.instance } };
  }
  send(response, answer ?? { status: 404, body: { error: `no ${method} ${url.pathname} here` } }, settings);
}

function originOf(headers: IncomingHttpHeaders): Record<string, string> {
  const peer = headers["x-forwarded-client-cert"];
  const verified: Record<string, string> = typeof peer === "string" ? { "x-forwarded-client-cert": peer } : {};
  return { ...traceHeaders(headers), ...businessHeaders(headers), ...verified };
}

function administer(ask: Ask, settings: Settings, faults: Faults, stats: Stats): Answer | undefined {
  switch (`${ask.method} /${ask.path.join("/")}`) {
    case "GET /healthz":
      return { status: 200, body: { ok: true, instance: settings.instance } };
    case "GET /_stats":
      return { status: 200, body: stats.report(settings.instance) };
    case "POST /_stats/reset":
      stats.reset();
      return { status: 200, body: {} };
    case "GET /_fault":
      return { status: 200, body: faults.current };
    case "POST /_fault":
      try {
        faults.set(ask.body);
      } catch (error) {
        throw new BadRequest(error instanceof Error ? error.message : String(error));
      }
      return { status: 200, body: faults.current };
    default:
      return undefined;
  }
}

/** One header as text, or undefined. */
export function headerOf(ask: Ask, name: string): string | undefined {
  const value = ask.headers[name];
  return typeof value === "string" ? value : undefined;
}

/** The JSON object of the body; throws BadRequest when it is none. */
export function objectBody(ask: Ask): Readonly<Record<string, unknown>> {
  if (typeof ask.body !== "object" || ask.body === null) throw new BadRequest("the body must be a JSON object");
  return ask.body as Readonly<Record<string, unknown>>; // an object was just checked; its fields stay unknown
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    if (!Buffer.isBuffer(chunk)) continue;
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new BadRequest(`a body may have ${MAX_BODY_BYTES} bytes`, 413);
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new BadRequest("the body must be JSON");
  }
}

function send(response: ServerResponse, answer: Answer, settings: Settings): void {
  if (response.headersSent || response.destroyed) return;
  const text = JSON.stringify(answer.body);
  response.writeHead(answer.status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    "x-instance": settings.instance,
    ...answer.headers,
  });
  response.end(text);
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const limit = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
  await closed;
  clearTimeout(limit);
}
