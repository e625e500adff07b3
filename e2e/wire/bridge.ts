// Every way a message can take through sidecars: HTTP/1 or HTTP/2 at either end, one sidecar or two with mutual TLS between them.
// The ends are node:http and node:http2.
import http from "node:http";
import http2 from "node:http2";
import { once } from "node:events";
import type { TestContext } from "node:test";

import { listen } from "./apps.ts";
import { atEnd } from "./cleanup.ts";
import { startMesh } from "./mesh-pair.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

export type Protocol = "http1" | "http2";

/** An application of either protocol: node:http2 has an API that is compatible with node:http's for all that is used here. */
export type Handler = (request: http.IncomingMessage, response: http.ServerResponse) => void;

export interface Bridge {
  readonly name: string;
  readonly client: Protocol;
  readonly app: Protocol;
  readonly isMesh: boolean;
  readonly port: number;
  call(request: Call): Promise<Answer>;
  /** The bridge's own connection, for what `call` does not do. */
  readonly session: http2.ClientHttp2Session;
}

export interface Call {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: readonly Buffer[];
  readonly trailers?: Readonly<Record<string, string>>;
}

type Fields = Readonly<Record<string, string | string[] | undefined>>;

export interface Answer {
  readonly status: number;
  readonly headers: Fields;
  /** As they were sent; of HTTP/1 alone. */
  readonly rawHeaders: readonly string[];
  readonly interim: readonly { readonly status: number; readonly headers: Fields }[];
  readonly body: Buffer;
  readonly trailers: Fields;
}

export interface Bridges {
  readonly all: readonly Bridge[];
  /** What the applications do with the next request; and with `Expect: 100-continue`, which is else answered by 100 at once. */
  handle: Handler;
  handleExpect: Handler | undefined;
}

const PROTOCOLS: readonly Protocol[] = ["http1", "http2"];

/** Starts the applications and all bridges to them; everything ends with the test. `manager`: see `httpListener`. */
export async function startBridges(t: TestContext, manager: object = {}): Promise<Bridges> {
  const bridges = new RunningBridges();
  const [http1App, http2App] = await Promise.all([startHttp1(t, bridges), startHttp2(t, bridges)]);
  const ports = { http1: http1App, http2: http2App };
  const [plain, mesh] = await Promise.all([
    Proxy.start({
      listeners: PROTOCOLS.map((app) => httpListener(app, app, "AUTO", undefined, manager)),
      clusters: PROTOCOLS.map((app) => cluster(app, ports[app], app)),
    }),
    startMesh(
      t,
      { http1: { port: http1App, protocol: "http1" }, http2: { port: http2App, protocol: "http2" } },
      manager,
    ),
  ]);
  atEnd(t, () => plain.stop());
  for (const isMesh of [false, true])
    for (const client of PROTOCOLS)
      for (const app of PROTOCOLS) {
        const port = (isMesh ? mesh.caller : plain).port(app);
        bridges.all.push(makeBridge(t, client, app, isMesh, port));
      }
  return bridges;
}

class RunningBridges implements Bridges {
  readonly all: Bridge[] = [];
  handle: Handler = (_request, response) => void response.end();
  handleExpect: Handler | undefined = undefined;

  onRequest(request: http.IncomingMessage, response: http.ServerResponse): void {
    this.handle(request, response);
  }

  onExpect(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (this.handleExpect !== undefined) return this.handleExpect(request, response);
    response.writeContinue();
    this.handle(request, response);
  }
}

async function startHttp1(t: TestContext, bridges: RunningBridges): Promise<number> {
  const server = http.createServer({ keepAliveTimeout: 60_000 });
  server.on("request", (request, response) => bridges.onRequest(request, response));
  server.on("checkContinue", (request, response) => bridges.onExpect(request, response));
  const app = await listen(server, () => server.closeAllConnections());
  atEnd(t, () => app.stop());
  return app.port;
}

async function startHttp2(t: TestContext, bridges: RunningBridges): Promise<number> {
  // Node refuses streams while so many MiB wait on a connection; here clients that do not read are part of the tests.
  const server = http2.createServer({ maxSessionMemory: 2048 });
  type Pair = [http.IncomingMessage, http.ServerResponse];
  // as: node:http2's compatible API (see Handler)
  server.on("request", (...pair) => bridges.onRequest(...(pair as unknown as Pair)));
  server.on("checkContinue", (...pair) => bridges.onExpect(...(pair as unknown as Pair)));
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  const app = await listen(server, () => {
    for (const session of sessions) session.destroy();
  });
  atEnd(t, () => app.stop());
  return app.port;
}

function makeBridge(t: TestContext, client: Protocol, app: Protocol, isMesh: boolean, port: number): Bridge {
  const agent = new http.Agent({ keepAlive: true });
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  atEnd(t, () => {
    agent.destroy();
    session.destroy();
  });
  const name = `${client} -> ${isMesh ? "sidecar -> mTLS -> sidecar" : "sidecar"} -> ${app}`;
  const call = (request: Call): Promise<Answer> =>
    client === "http1" ? callHttp1(port, agent, request) : callHttp2(session, request);
  return { name, client, app, isMesh, port, session, call };
}

async function callHttp1(port: number, agent: http.Agent, call: Call): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, body, trailers } = call;
  const request = http.request({ port, agent, method, path, headers });
  const interim: Answer["interim"][number][] = [];
  request.on("information", (info) => interim.push({ status: info.statusCode, headers: info.headers }));
  if (headers["expect"] === undefined) writeAll(request, body, trailers);
  else {
    request.flushHeaders();
    request.once("continue", () => writeAll(request, body, trailers));
  }
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  const bytes = await readAll(response);
  if (!request.writableEnded) request.destroy();
  const { statusCode: status = 0, headers: got, rawHeaders } = response;
  return { status, headers: got, rawHeaders, interim, body: bytes, trailers: response.trailers };
}

function writeAll(request: http.ClientRequest, body: Call["body"], trailers: Call["trailers"]): void {
  for (const bytes of body ?? []) request.write(bytes);
  if (trailers !== undefined) request.addTrailers(trailers);
  request.end();
}

async function callHttp2(session: http2.ClientHttp2Session, call: Call): Promise<Answer> {
  const { method = "GET", path = "/", headers = {}, body, trailers } = call;
  const pseudo = { ":method": method, ":path": path };
  const stream = session.request(
    { ...pseudo, ...headers },
    { endStream: body === undefined, waitForTrailers: trailers !== undefined },
  );
  if (trailers !== undefined) stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  const interim: Answer["interim"][number][] = [];
  const write = (): void => {
    for (const bytes of body ?? []) stream.write(bytes);
    stream.end();
  };
  stream.on("headers", (info) => {
    interim.push({ status: Number(info[":status"]), headers: info });
    if (info[":status"] === 100 && headers["expect"] !== undefined) write();
  });
  if (body !== undefined && headers["expect"] === undefined) write();
  let got: http2.IncomingHttpHeaders = {};
  let last: http.IncomingHttpHeaders = {};
  stream.on("response", (head) => (got = head));
  stream.on("trailers", (block: http.IncomingHttpHeaders) => (last = block));
  const bytes = await readAll(stream);
  if (!stream.writableEnded) stream.close();
  return { status: Number(got[":status"]), headers: got, rawHeaders: [], interim, body: bytes, trailers: last };
}

export async function readAll(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const bytes of stream) all.push(bytes as Buffer); // as: no encoding was set
  return Buffer.concat(all);
}
