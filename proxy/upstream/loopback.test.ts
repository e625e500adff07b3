// The whole room over real sockets: node's own servers on the other side.
import assert from "node:assert/strict";
import { createServer as createHttp1Server } from "node:http";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { after, test } from "node:test";
import type { Cluster } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import { systemClock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import { MemorySecretStore } from "#proxy/tls/secret-store.ts";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";
import { ClusterTable, systemLookup } from "./cluster-set.ts";
import type { PickedEndpoint, UpstreamConnectionInfo } from "./contract.ts";
import { assignmentOf, clusterOf, endpointOf, HTTP_OPTIONS } from "./testing/cluster-of.ts";
import { WireConnector } from "./wire-connector.ts";

const IDENTITY = "spiffe://mesh/ns/shop/sa/reviews";
const authority = makeAuthority();
const closers: (() => void)[] = [];
after(() => {
  for (const close of closers) close();
});

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function tableFor(cluster: Cluster, endpoint: Endpoint) {
  const secrets = new MemorySecretStore();
  const { bundlePem } = await authority;
  const certificate = await (await authority).issue({ uri: "spiffe://mesh/ns/shop/sa/productpage" });
  secrets.set({ kind: "certificate", name: "default", certificate });
  secrets.set({ kind: "validation", name: "ROOTCA", bundlePem });
  const connector = new WireConnector({ loop: new WireLoop({ clock: systemClock, acceptMode: "data" }), secrets });
  const table = new ClusterTable({
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    connector,
    cells: new SharedCells(),
    lookup: systemLookup,
  });
  table.apply([cluster], new Map([[cluster.name, assignmentOf(cluster.name, [endpoint])]]));
  closers.push(() => {
    table.close();
    connector.close();
  });
  const pick = (): PickedEndpoint => {
    const picked = table.get(cluster.name)?.pick({ cluster, labels: {}, hash: undefined, avoid: [] });
    if (picked === undefined || typeof picked === "string") throw new Error(`nothing was picked: ${picked}`);
    return picked;
  };
  return { table, secrets, pick };
}

/** One exchange, gathered. */
class Gathered implements StreamHandler {
  status = "";
  body = "";
  stream: HttpStream | undefined = undefined;
  info: UpstreamConnectionInfo | undefined = undefined;
  readonly done: Promise<void>;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onHead(head: HeaderBlock, end: boolean): void {
    this.status = head.get(":status") ?? "";
    if (end) this.#resolve();
  }

  onInformational(): void {}

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.body += bytes.toString("latin1", start, end);
    this.stream?.consumed(end - start);
    if (last) this.#resolve();
  }

  onTrailers(): void {
    this.#resolve();
  }

  onReset(error: StreamError): void {
    this.#reject(new Error(error.message));
  }

  onDrain(): void {}

  failed(reason: string, detail: string): void {
    this.#reject(new Error(`${reason}: ${detail}`));
  }
}

async function get(picked: PickedEndpoint, path: string): Promise<Gathered> {
  const gathered = new Gathered();
  picked.open("http1", gathered, {
    onReady(stream, info) {
      gathered.stream = stream;
      gathered.info = info;
      const head = HeaderBlock.of([":method", "GET"], [":scheme", "http"], [":authority", "reviews"], [":path", path]);
      stream.sendHead(head, true);
    },
    onFailure: (reason, detail) => gathered.failed(reason, detail),
  });
  await gathered.done.finally(() => picked.done());
  return gathered;
}

test("HTTP/1: one connection serves requests one after the other", async () => {
  const server = createHttp1Server((request, response) => response.end(`${request.url} ${request.socket.remotePort}`));
  const port = await listen(server);
  closers.push(() => server.closeAllConnections());
  const { pick } = await tableFor(clusterOf("h1"), endpointOf("127.0.0.1", port));
  const bodies: string[] = [];
  for (const path of ["/a", "/b", "/c"]) bodies.push((await get(pick(), path)).body);
  const ports = new Set(bodies.map((body) => body.split(" ")[1]));
  assert.equal(ports.size, 1);
  assert.deepEqual(
    bodies.map((body) => body.split(" ")[0]),
    ["/a", "/b", "/c"],
  );
});

test("nobody listens: the failure names the address and the system's error", async () => {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  const { pick } = await tableFor(clusterOf("down"), endpointOf("127.0.0.1", port));
  await assert.rejects(get(pick(), "/"), new RegExp(`connect-failure: .*127\\.0\\.0\\.1:${port}.*ECONNREFUSED`));
});

async function startPeer(uri: string): Promise<number> {
  const { bundlePem } = await authority;
  const { chainPem, keyPem } = await (await authority).issue({ uri });
  const server = createSecureServer({
    key: keyPem,
    cert: chainPem,
    ca: bundlePem,
    requestCert: true,
    settings: { enableConnectProtocol: true },
  });
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  closers.push(() => {
    for (const session of sessions) session.destroy();
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined);
    if (headers[":method"] === "CONNECT") {
      const isKnown = headers[":protocol"] === "heddle-tcp" && headers[":authority"] === "redis:6379";
      stream.respond({ ":status": isKnown ? 200 : 403 }, { endStream: !isKnown });
      if (isKnown) stream.pipe(stream);
      return;
    }
    stream.respond({ ":status": 200 });
    stream.end(`${String(headers[":path"])} ${sessions.size}`);
  });
  return listen(server);
}

function meshCluster(name: string): Cluster {
  return clusterOf(name, {
    tls: {
      certificate: { kind: "sds", name: "default" },
      validation: { roots: { kind: "sds", name: "ROOTCA" }, subjectAltNames: [], acceptUntrusted: false },
      alpn: ["h2"],
      minVersion: "TLSv1.3",
      maxVersion: undefined,
      cipherSuites: [],
      curves: [],
      sni: "",
      autoHostSni: false,
    },
    http: HTTP_OPTIONS,
  });
}

function peerOf(port: number): Endpoint {
  return endpointOf("127.0.0.1", 1, {
    mesh: { kind: "peer", inboundAddress: "127.0.0.1", inboundPort: port, identity: IDENTITY, version: "1" },
  });
}

test("a mesh peer: many requests on one mTLS HTTP/2 connection, its identity known", async () => {
  const { pick, table, secrets } = await tableFor(meshCluster("peer"), peerOf(await startPeer(IDENTITY)));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => get(pick(), `/${i}`)));
  assert.deepEqual(
    answers.map(({ body }) => body),
    Array.from({ length: 20 }, (_, i) => `/${i} 1`),
  );
  assert.equal(answers[0]?.info?.peerIdentity, IDENTITY);
  assert.equal(table.snapshot()[0]?.connections, 1);

  const certificate = await (await authority).issue({ uri: "spiffe://mesh/ns/shop/sa/productpage" });
  secrets.set({ kind: "certificate", name: "default", certificate });
  assert.equal((await get(pick(), "/renewed")).body, "/renewed 2");
});

test("a mesh peer with the certificate of another service is refused, and both identities are named", async () => {
  const wrong = "spiffe://mesh/ns/shop/sa/ratings";
  const { pick } = await tableFor(meshCluster("wrong"), peerOf(await startPeer(wrong)));
  await assert.rejects(get(pick(), "/"), (error: Error) => {
    assert.match(error.message, /^tls: /);
    assert.ok(error.message.includes(wrong) && error.message.includes(IDENTITY), error.message);
    return true;
  });
});

test("a tunnel to a plain endpoint carries bytes both ways, and half-closes", async () => {
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.write("220 ready ");
    socket.on("data", (bytes) => socket.write(bytes));
    socket.on("end", () => socket.end(" bye"));
  });
  const { pick, table } = await tableFor(clusterOf("echo"), endpointOf("127.0.0.1", await listen(server)));
  const gathered = new Gathered();
  pick().openTunnel("echo:1", gathered, {
    onReady(stream) {
      gathered.stream = stream;
      stream.sendData(Buffer.from("hello"), 0, 5, true);
    },
    onFailure: (reason, detail) => gathered.failed(reason, detail),
  });
  await gathered.done;
  assert.equal(gathered.body, "220 ready hello bye");
  for (let turns = 0; turns < 10_000 && table.snapshot()[0]?.connections !== 0; turns++) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(table.snapshot()[0]?.connections, 0);
});

test("a tunnel to a mesh peer is a CONNECT stream on the pooled connection; a refused one says what the peer answered", async () => {
  const { pick, table } = await tableFor(meshCluster("mesh-tcp"), peerOf(await startPeer(IDENTITY)));
  await get(pick(), "/first");
  const open = (authorityName: string): Gathered => {
    const gathered = new Gathered();
    pick().openTunnel(authorityName, gathered, {
      onReady(stream) {
        gathered.stream = stream;
        stream.sendData(Buffer.from("PING"), 0, 4, true);
      },
      onFailure: (reason, detail) => gathered.failed(reason, detail),
    });
    return gathered;
  };
  const tunnel = open("redis:6379");
  await tunnel.done;
  assert.equal(tunnel.body, "PING");
  assert.equal(table.snapshot()[0]?.connections, 1);
  await assert.rejects(open("mysql:3306").done, /connect-failure: .*CONNECT mysql:3306 with 403/);
});
