// Sends one request of a case and gathers the whole answer, over HTTP/1.1, HTTP/2, as gRPC or as a WebSocket.
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import type net from "node:net";

import type { HeaderValues, Step } from "./case-schema.ts";
import { grpcFrame } from "./grpc-frame.ts";

export type Fields = Readonly<Record<string, readonly string[]>>;

export interface Reply {
  readonly status: number | undefined;
  readonly headers: Fields;
  readonly trailers: Fields;
  /** latin1. */
  readonly body: string;
  /** What broke it off. */
  readonly error: string | undefined;
  readonly tookMs: number;
}

interface Parts {
  status: number | undefined;
  headers: Fields;
  trailers: Fields;
  body: string;
}

/** The time after which a request that nobody answers is given up. */
const LIMIT_MS = 30_000;

export class Client {
  readonly #port: number;
  readonly #agents = new Map<string, http.Agent>();
  readonly #sessions = new Map<string, http2.ClientHttp2Session>();

  constructor(port: number) {
    this.#port = port;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
    for (const session of this.#sessions.values()) session.destroy();
  }

  /** Never rejects: what went wrong is in the reply. */
  async send(step: Step, extra: HeaderValues): Promise<Reply> {
    const startMs = performance.now();
    const parts: Parts = { status: undefined, headers: {}, trailers: {}, body: "" };
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), step.abortAfterMs ?? LIMIT_MS);
    let error: string | undefined;
    try {
      const isTwo = step.protocol === "h2" || step.protocol === "grpc";
      await (isTwo ? this.#sendTwo(step, extra, parts, stop.signal) : this.#sendOne(step, extra, parts, stop.signal));
    } catch (cause) {
      error = stop.signal.aborted ? "aborted" : String(cause);
    }
    clearTimeout(timer);
    return { ...parts, error, tookMs: performance.now() - startMs };
  }

  async #sendOne(step: Step, extra: HeaderValues, parts: Parts, signal: AbortSignal): Promise<void> {
    const isWebSocket = step.protocol === "websocket";
    const isNew = step.connection === "new" || isWebSocket;
    const headers: Record<string, string | string[]> = { host: "test.example", ...copy(step.headers), ...copy(extra) };
    if (isWebSocket) Object.assign(headers, { connection: "Upgrade", upgrade: "websocket", ...WEBSOCKET });
    const body = bodyOf(step);
    if (body !== undefined) headers["content-length"] ??= String(body.length);
    const request = http.request({
      host: "127.0.0.1",
      port: this.#port,
      method: step.method ?? (body === undefined ? "GET" : "POST"),
      path: step.path ?? "/",
      headers,
      agent: isNew ? new http.Agent({ keepAlive: false }) : this.#agent(step.from ?? ""),
      signal,
      ...(step.from === undefined ? {} : { localAddress: step.from }),
    });
    request.end(body);
    await new Promise<void>((resolve, reject) => {
      request.once("error", reject);
      request.once("upgrade", (answer, socket: net.Socket, head: Buffer) => {
        readHead(parts, answer);
        void ping(socket, head).then((echoed) => {
          parts.body = echoed;
          resolve();
        }, reject);
      });
      request.once("response", (answer) => {
        readHead(parts, answer);
        answer.setEncoding("latin1");
        answer.on("data", (piece: string) => (parts.body += piece));
        answer.once("error", reject);
        answer.once("end", () => {
          parts.trailers = pairs(answer.rawTrailers);
          resolve();
        });
      });
    });
  }

  async #sendTwo(step: Step, extra: HeaderValues, parts: Parts, signal: AbortSignal): Promise<void> {
    const isGrpc = step.protocol === "grpc";
    const { host = "test.example", ...rest } = copy(step.headers);
    const session = await this.#session(step);
    const content = bodyOf(step);
    const body = isGrpc ? grpcFrame(content ?? Buffer.alloc(0)) : content;
    const request = session.request(
      {
        ":method": step.method ?? (body === undefined ? "GET" : "POST"),
        ":path": step.path ?? "/",
        ":authority": host,
        ...(isGrpc ? { "content-type": "application/grpc", te: "trailers" } : {}),
        ...rest,
        ...copy(extra),
      },
      { endStream: body === undefined, signal },
    );
    request.setEncoding("latin1");
    request.on("response", (headers, _flags, raw: string[]) => {
      parts.status = headers[":status"];
      const { ":status": _, ...others } = pairs(raw);
      parts.headers = others;
    });
    request.on("trailers", (_headers: object, _flags: number, raw: string[]) => (parts.trailers = pairs(raw)));
    request.on("data", (piece: string) => (parts.body += piece));
    if (body !== undefined) request.end(body);
    await new Promise<void>((resolve, reject) => {
      request.once("error", reject);
      request.once("close", () => {
        if (request.rstCode === http2.constants.NGHTTP2_NO_ERROR) resolve();
        else reject(new Error(`reset with ${request.rstCode}`));
      });
    });
    if (step.connection === "new") session.close();
  }

  #agent(from: string): http.Agent {
    let agent = this.#agents.get(from);
    if (agent === undefined) this.#agents.set(from, (agent = new http.Agent({ keepAlive: true })));
    return agent;
  }

  async #session({ connection, from = "" }: Step): Promise<http2.ClientHttp2Session> {
    const known = connection === "new" ? undefined : this.#sessions.get(from);
    if (known?.closed === false && !known.destroyed) return known;
    // The socket's own option, which the types of node:http2 do not name.
    const options: object = from === "" ? {} : { localAddress: from };
    const session = http2.connect(`http://127.0.0.1:${this.#port}`, options);
    // Its streams say what happened to them.
    session.on("error", () => undefined);
    this.#sessions.set(connection === "new" ? `new ${this.#sessions.size}` : from, session);
    await once(session, "connect");
    return session;
  }
}

const WEBSOCKET = { "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };

/** Bytes there and back, then the end. */
async function ping(socket: net.Socket, head: Buffer): Promise<string> {
  let text = head.toString("latin1");
  socket.write("ping");
  while (text.length < 4) text += String(((await once(socket, "data")) as [Buffer])[0]); // as: no encoding was set
  socket.destroy();
  return text;
}

function readHead(parts: Parts, answer: http.IncomingMessage): void {
  parts.status = answer.statusCode;
  parts.headers = pairs(answer.rawHeaders);
}

function pairs(raw: readonly string[]): Fields {
  const fields: Record<string, string[]> = {};
  for (let i = 0; i + 1 < raw.length; i += 2) (fields[(raw[i] ?? "").toLowerCase()] ??= []).push(raw[i + 1] ?? "");
  return fields;
}

function copy(headers: HeaderValues = {}): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name.toLowerCase(),
      typeof value === "object" ? [...value] : value,
    ]),
  );
}

function bodyOf({ body, bodyBytes }: Step): Buffer | undefined {
  if (bodyBytes !== undefined) return Buffer.alloc(bodyBytes, "x");
  return body === undefined ? undefined : Buffer.from(body, "latin1");
}
