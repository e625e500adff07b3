// A small API server over HTTP for unit tests: lists in pages, watches with resource versions, conflicts, the status part.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { isObject } from "#config/load/values.ts";
import { KubernetesClient } from "../client.ts";

type Fields = Record<string, unknown>;

interface Stored {
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
  object: Fields;
}

interface StoredEvent {
  readonly version: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly collection: string;
  readonly object: Fields;
}

interface OpenWatch {
  readonly collection: string;
  readonly namespace: string;
  readonly response: ServerResponse;
}

/** It knows the collections (`/api/v1/services`) that were installed, and what was put is there until it is removed. */
export class TestApiServer {
  readonly #objects = new Map<string, Stored>();
  readonly #collections = new Set<string>();
  readonly #watches = new Set<OpenWatch>();
  #events: StoredEvent[] = [];
  #version = 1;
  /** Versions before it are forgotten. */
  #compacted = 0;
  #server: Server | undefined;
  #port = 0;
  /** `GET /api/v1/pods?watch`: what it was asked. */
  readonly requests: string[] = [];
  isReady = true;
  /** Answers each write so, instead of doing it. */
  refuseWrites: number | undefined;

  static async start(...collections: readonly string[]): Promise<TestApiServer> {
    const server = new TestApiServer();
    for (const collection of collections) server.#collections.add(collection);
    await server.up();
    return server;
  }

  get client(): KubernetesClient {
    return KubernetesClient.fromText(
      JSON.stringify({
        clusters: [
          { name: "test", cluster: { server: `http://127.0.0.1:${this.#port}`, "insecure-skip-tls-verify": true } },
        ],
        users: [{ name: "test", user: { token: "secret" } }],
        contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
        "current-context": "test",
      }),
    );
  }

  /** Listens, again on the port that it had. */
  async up(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    // A TCP server's address is never text.
    this.#port = (server.address() as AddressInfo).port;
  }

  /** As when it is killed: every connection breaks; what it stores stays. */
  async down(): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve) => {
      server?.close(() => resolve());
      server?.closeAllConnections();
    });
    this.#watches.clear();
  }

  install(collection: string): void {
    this.#collections.add(collection);
  }

  uninstall(collection: string): void {
    this.#collections.delete(collection);
    for (const [key, stored] of this.#objects) if (stored.collection === collection) this.#objects.delete(key);
    for (const watch of this.#watches) if (watch.collection === collection) watch.response.end();
  }

  /** Forgets all versions until now: watches from before are answered 410. */
  compact(): void {
    this.#events = [];
    this.#compacted = this.#version;
  }

  /** Tells every watch the version of now. */
  bookmark(): void {
    for (const watch of this.#watches)
      send(watch.response, "BOOKMARK", { metadata: { resourceVersion: String(this.#version) } });
  }

  /** Ends every watch as a server that goes away properly does. */
  endWatches(): void {
    for (const watch of this.#watches) watch.response.end();
  }

  /** Creates or replaces; `collection` as in paths without a namespace. */
  put(collection: string, object: Fields): Fields {
    this.#collections.add(collection);
    const metadata = fields(object["metadata"]);
    const [namespace, name] = [text(metadata["namespace"]), text(metadata["name"])];
    const key = `${collection} ${namespace}/${name}`;
    const before = this.#objects.get(key);
    const old = fields(before?.object["metadata"]);
    const version = ++this.#version;
    const isSpecSame = JSON.stringify(before?.object["spec"]) === JSON.stringify(object["spec"]);
    const generation = Number(old["generation"] ?? 0) + (before !== undefined && isSpecSame ? 0 : 1);
    const stored = {
      ...object,
      metadata: {
        uid: `uid-${version}`,
        creationTimestamp: new Date(1_700_000_000_000 + version * 1000).toISOString(),
        ...metadata,
        ...(before === undefined ? {} : { uid: old["uid"], creationTimestamp: old["creationTimestamp"] }),
        generation,
        resourceVersion: String(version),
      },
    };
    this.#objects.set(key, { collection, namespace, name, object: stored });
    this.#tell(before === undefined ? "ADDED" : "MODIFIED", collection, stored);
    return stored;
  }

  remove(collection: string, namespace: string, name: string): void {
    const key = `${collection} ${namespace}/${name}`;
    const stored = this.#objects.get(key);
    if (stored === undefined) return;
    this.#objects.delete(key);
    const metadata = { ...fields(stored.object["metadata"]), resourceVersion: String(++this.#version) };
    this.#tell("DELETED", collection, { ...stored.object, metadata });
  }

  get(collection: string, namespace: string, name: string): Fields | undefined {
    return this.#objects.get(`${collection} ${namespace}/${name}`)?.object;
  }

  #tell(type: StoredEvent["type"], collection: string, object: Fields): void {
    this.#events.push({ version: this.#version, type, collection, object });
    const namespace = text(fields(object["metadata"])["namespace"]);
    for (const watch of this.#watches)
      if (watch.collection === collection && (watch.namespace === "" || watch.namespace === namespace))
        send(watch.response, type, object);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    const { method = "GET" } = request;
    this.requests.push(`${method} ${url.pathname}${url.searchParams.has("watch") ? "?watch" : ""}`);
    if (url.pathname === "/readyz") {
      response.writeHead(this.isReady ? 200 : 500, { "content-type": "text/plain; charset=utf-8" });
      response.end(this.isReady ? "ok" : "[-]etcd failed");
      return;
    }
    const place = parsePath(url.pathname);
    if (place === undefined || !this.#collections.has(place.collection)) fail(response, 404, "NotFound");
    else if (method !== "GET") this.#write(method, place, await readJson(request), response);
    else if (place.name !== "") this.#read(place, response);
    else if (url.searchParams.has("watch")) this.#watch(place, url.searchParams, response);
    else this.#list(place, url.searchParams, response);
  }

  #read({ collection, namespace, name }: Place, response: ServerResponse): void {
    const object = this.get(collection, namespace, name);
    if (object === undefined) fail(response, 404, "NotFound");
    else answer(response, 200, object);
  }

  #list({ collection, namespace }: Place, query: URLSearchParams, response: ServerResponse): void {
    const all = [...this.#objects.values()].filter(
      (stored) => stored.collection === collection && (namespace === "" || stored.namespace === namespace),
    );
    const start = Number(query.get("continue") ?? 0);
    const end = start + Number(query.get("limit") ?? all.length);
    const metadata = { resourceVersion: String(this.#version), ...(end < all.length ? { continue: String(end) } : {}) };
    answer(response, 200, { kind: "List", metadata, items: all.slice(start, end).map(({ object }) => object) });
  }

  #watch({ collection, namespace }: Place, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get("resourceVersion"));
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    if (from < this.#compacted) {
      send(response, "ERROR", { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" });
      response.end();
      return;
    }
    const watch = { collection, namespace, response };
    for (const event of this.#events)
      if (event.version > from && event.collection === collection) send(response, event.type, event.object);
    this.#watches.add(watch);
    response.on("close", () => this.#watches.delete(watch));
  }

  #write(method: string, place: Place, body: Fields, response: ServerResponse): void {
    if (this.refuseWrites !== undefined) {
      fail(response, this.refuseWrites, "Refused");
      return;
    }
    const { collection, namespace, part } = place;
    const metadata = fields(body["metadata"]);
    const name = place.name === "" ? text(metadata["name"]) : place.name;
    const before = this.get(collection, namespace, name);
    const version = metadata["resourceVersion"];
    if (method === "POST" ? before !== undefined : before === undefined) {
      fail(response, method === "POST" ? 409 : 404, method === "POST" ? "AlreadyExists" : "NotFound");
      return;
    }
    if (version !== undefined && version !== fields(before?.["metadata"])["resourceVersion"]) {
      fail(response, 409, "Conflict");
      return;
    }
    if (method === "DELETE") {
      this.remove(collection, namespace, name);
      answer(response, 200, {});
      return;
    }
    const next = method === "PATCH" ? fields(merge(before, body)) : body;
    const object: Fields =
      part === "status" ? { ...before, status: next["status"] } : { ...next, status: before?.["status"] };
    answer(
      response,
      method === "POST" ? 201 : 200,
      this.put(collection, { ...object, metadata: { ...metadata, ...fields(object["metadata"]), name, namespace } }),
    );
  }
}

interface Place {
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
  readonly part: string;
}

function parsePath(path: string): Place | undefined {
  const found =
    /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  if (found === null) return undefined;
  const [, base = "", namespace = "", plural = "", name = "", part = ""] = found;
  return { collection: `${base}/${plural}`, namespace, name, part };
}

function send(response: ServerResponse, type: string, object: Fields): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

function answer(response: ServerResponse, status: number, body: Fields): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

function fail(response: ServerResponse, code: number, reason: string): void {
  answer(response, code, { kind: "Status", code, reason, message: reason });
}

async function readJson(request: IncomingMessage): Promise<Fields> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body === "" ? {} : fields(JSON.parse(body));
}

/** RFC 7396. */
function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Fields = { ...fields(target) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

function fields(value: unknown): Fields {
  return isObject(value) ? value : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
