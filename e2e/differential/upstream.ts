// The applications behind both proxies: they answer as the case says, by proxy and call, and remember what they saw.
import { createHash } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";

import { grpcFrame } from "./grpc-frame.ts";
import type { Answer, HeaderValues, UpstreamSpec } from "./case-schema.ts";

/** Envoy's connections come from here (pair.ts), so that both proxies can be told apart. */
export const ENVOY_SOURCE = "127.0.0.2";
/** Says which request of the case it is. */
export const EXCHANGE_FIELD = "x-exchange";

export interface Sighting {
  readonly upstream: string;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly protocol: "h1" | "h2";
  readonly headers: Readonly<Record<string, readonly string[]>>;
  body: string;
}

/** Ports that IANA has given to nobody, and that the system gives to no server: one that was free a moment ago may be another's now. */
const CLOSED_PORTS = [4, 6, 8, 10, 12, 14, 16, 26, 28, 30, 32, 34, 36, 40] as const;
let closedPorts = 0;

function nextClosedPort(): number {
  return CLOSED_PORTS[closedPorts++ % CLOSED_PORTS.length] ?? 4;
}

type Request = http.IncomingMessage | http2.Http2ServerRequest;
type Response = http.ServerResponse | http2.Http2ServerResponse;

export class Upstream {
  readonly port: number;
  readonly #name: string;
  readonly #spec: UpstreamSpec;
  readonly #server: net.Server | undefined;
  readonly #sockets = new Set<net.Socket>();
  readonly #calls = new Map<string, number>();
  readonly #sightings: Map<string, Sighting[]>;

  private constructor(
    name: string,
    spec: UpstreamSpec,
    port: number,
    server: net.Server | undefined,
    sightings: Map<string, Sighting[]>,
  ) {
    this.#name = name;
    this.#spec = spec;
    this.port = port;
    this.#server = server;
    this.#sightings = sightings;
  }

  /** `sightings`: by the value of `x-exchange`. */
  static async start(name: string, spec: UpstreamSpec, sightings: Map<string, Sighting[]>): Promise<Upstream> {
    if (spec.closed === true) return new Upstream(name, spec, nextClosedPort(), undefined, sightings);
    const server = net.createServer({ noDelay: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo; // as: a TCP server that listens
    const upstream = new Upstream(name, spec, port, server, sightings);
    upstream.#serve(server);
    return upstream;
  }

  async stop(): Promise<void> {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server?.listening === true) await once(this.#server, "close");
  }

  /** HTTP/1.1 and HTTP/2 on one port, by the first bytes. */
  #serve(server: net.Server): void {
    const answer = (request: Request, response: Response): void => void this.#answer(request, response);
    const one = http.createServer({ keepAliveTimeout: 60_000 }, answer);
    const two = http2.createServer(answer);
    two.on("sessionError", () => undefined);
    one.on("upgrade", (request: http.IncomingMessage, socket: net.Socket, head: Buffer) => {
      this.#see(request);
      const key = String(request.headers["sec-websocket-key"]);
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64"); // RFC 6455 §4.2.2
      const fields = [
        "upgrade: websocket",
        "connection: Upgrade",
        `date: ${new Date().toUTCString()}`,
        `sec-websocket-accept: ${accept}`,
        `x-upstream: ${this.#name}`,
      ];
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields.join("\r\n")}\r\n\r\n`);
      socket.write(head);
      socket.pipe(socket);
    });
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      // A proxy that goes away is nothing that an application would complain about.
      socket.on("error", () => undefined);
      socket.once("readable", () => {
        const first = socket.read() as Buffer | null; // as: no encoding was set
        if (first === null) return;
        socket.unshift(first);
        (first.toString("latin1").startsWith("PRI ") ? two : one).emit("connection", socket);
      });
    });
  }

  #see(request: Request): Sighting {
    const headers: Record<string, string[]> = {};
    for (let i = 0; i + 1 < request.rawHeaders.length; i += 2)
      (headers[(request.rawHeaders[i] ?? "").toLowerCase()] ??= []).push(request.rawHeaders[i + 1] ?? "");
    const sighting: Sighting = {
      upstream: this.#name,
      method: request.method ?? "",
      path: request.url ?? "",
      authority: headers[":authority"]?.[0] ?? headers["host"]?.[0] ?? "",
      protocol: request.httpVersionMajor === 2 ? "h2" : "h1",
      headers,
      body: "",
    };
    const exchange = headers[EXCHANGE_FIELD]?.[0];
    if (exchange === undefined) return sighting;
    const known = this.#sightings.get(exchange);
    if (known === undefined) this.#sightings.set(exchange, [sighting]);
    else known.push(sighting);
    return sighting;
  }

  #next(request: Request): Answer {
    const { answers = [], paths = {} } = this.#spec;
    const [path = ""] = (request.url ?? "").split("?");
    const own = paths[path];
    const side = request.socket.remoteAddress === ENVOY_SOURCE ? "envoy" : "heddle";
    const key = own === undefined ? side : `${side} ${path}`;
    const call = this.#calls.get(key) ?? 0;
    this.#calls.set(key, call + 1);
    const list = own ?? answers;
    return list[Math.min(call, list.length - 1)] ?? {};
  }

  async #answer(request: Request, response: Response): Promise<void> {
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    const sighting = this.#see(request);
    const answer = this.#next(request);
    let body = "";
    request.setEncoding("latin1");
    request.on("data", (piece: string) => (sighting.body = body += piece));
    // A request that is broken off ends too.
    const whole = new Promise<unknown>((resolve) => request.once("end", resolve).once("close", resolve));
    if (answer.hang === true) return;
    if (answer.delayMs !== undefined) await pause(answer.delayMs);
    if (answer.reset === "beforeHeaders") return breakOff(request, response);
    if (answer.early !== true) await whole;
    const content = contentOf(answer, this.#name, body);
    const head: Record<string, string | string[]> = { "x-upstream": this.#name, ...spread(answer.headers) };
    if (answer.close === true) head["connection"] = "close";
    let trailers = spread(answer.trailers);
    if (answer.grpc !== undefined) {
      const { status = 0, message } = answer.grpc;
      head["content-type"] ??= "application/grpc";
      const ending = { "grpc-status": String(status), ...(message === undefined ? {} : { "grpc-message": message }) };
      if (status === 0) trailers = { ...ending, ...trailers };
      else Object.assign(head, ending);
    } else if (answer.trailers === undefined && answer.bodyDelayMs === undefined && answer.status !== 204)
      head["content-length"] ??= String(content.length);
    if (answer.trailers !== undefined && request.httpVersionMajor === 1) head["trailer"] = Object.keys(trailers).join();
    response.statusCode = answer.status ?? 200;
    for (const [name, value] of Object.entries(head)) response.setHeader(name, value);
    if (answer.bodyDelayMs !== undefined || answer.reset === "afterHeaders") {
      flushHead(response);
      await pause(answer.bodyDelayMs ?? 50);
    }
    if (answer.reset === "afterHeaders") return breakOff(request, response);
    const isEmpty = request.method === "HEAD" || answer.status === 204 || answer.status === 304;
    if (!isEmpty && (answer.grpc?.status ?? 0) === 0) write(response, content);
    if (Object.keys(trailers).length > 0) response.addTrailers(trailers);
    response.end();
  }
}

function flushHead(response: Response): void {
  if ("flushHeaders" in response) response.flushHeaders();
  else response.writeHead(response.statusCode);
}

// as: both responses have it, with signatures that do not unite
function write(response: Response, content: Buffer): void {
  (response as http.ServerResponse).write(content);
}

function contentOf(answer: Answer, name: string, asked: string): Buffer {
  if (answer.bodyBytes !== undefined) return Buffer.alloc(answer.bodyBytes, "x");
  const content = Buffer.from(answer.echo === true ? asked : (answer.body ?? name), "latin1");
  return answer.grpc === undefined || answer.echo === true ? content : grpcFrame(content);
}

function spread(headers: HeaderValues = {}): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? value : [...value]]),
  );
}

function breakOff(request: Request, response: Response): void {
  if ("stream" in response) response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  else request.socket.resetAndDestroy();
}

function pause(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs));
}
