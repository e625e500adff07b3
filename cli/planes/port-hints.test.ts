// What a ServiceEntry says of its ports, or does not, through both planes: real servers behind a real proxy with its worker.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { startPlane, startProxy } from "./testing/both-planes.ts";

const GREETING = "220 mail.test ESMTP\r\n";
const root = mkdtempSync(path.join(tmpdir(), "heddle-port-hints-"));
const folder = path.join(root, "mesh");
const closers: (() => unknown)[] = [() => rmSync(root, { recursive: true, force: true })];
const ports = new Map<string, number>();

function portOf(name: string): number {
  const port = ports.get(name);
  assert.ok(port !== undefined, name);
  return port;
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as net.AddressInfo).port; // as: a TCP server's
}

/** Ports are held until all are known, so that none is given twice. */
async function freePorts(names: readonly string[]): Promise<void> {
  const servers = names.map(() => net.createServer());
  for (const [index, server] of servers.entries()) ports.set(names[index] ?? "", await listen(server));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
}

async function startApps(): Promise<void> {
  const sockets = new Set<net.Socket>();
  const track = (socket: net.Socket): void => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  };
  const servers = {
    web: http.createServer((request, response) => response.end(`${request.url} by ${request.httpVersion}`)),
    rpc: http2.createServer((request, response) => response.end(`${request.url} by ${request.httpVersion}`)),
    greet: net.createServer((socket) => {
      socket.write(GREETING);
      socket.pipe(socket);
    }),
    echo: net.createServer((socket) => socket.pipe(socket)),
  };
  for (const [name, server] of Object.entries(servers)) {
    server.on("connection", track);
    ports.set(`app ${name}`, await listen(server));
    closers.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
  }
}

/** The endpoints of `box` have no sidecar; `box-1` of `home` has the proxy of this test, which takes plaintext. */
function makeYaml(echoHint: string): string {
  const names = ["web", "rpc", "greet", "echo"];
  const listOf = (prefix: string): string => names.map((name) => `${name}: ${portOf(`${prefix} ${name}`)}`).join(", ");
  const outbound = names.map((name) => `{ service: box, port: ${name}, listen: ${portOf(`out ${name}`)} }`).join(", ");
  const servicePorts = (hint: string): string =>
    names.map((name, index) => `{ name: ${name}, port: ${8000 + index}${name === "echo" ? hint : ""} }`).join(", ");
  return `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: box, namespace: shop }
spec:
  ports: [${servicePorts(echoHint)}]
  endpoints: [{ name: bare-1, address: 127.0.0.1, ports: { ${listOf("app")} } }]
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: home, namespace: shop }
spec:
  ports: [${servicePorts("")}]
  endpoints:
    - name: box-1
      address: 127.0.0.1
      ports: { ${listOf("app")} }
      sidecar: { inbound: { ${listOf("in")} }, outbound: [${outbound}] }
---
apiVersion: heddle.dev/v1alpha1
kind: PeerAuthentication
metadata: { name: home, namespace: shop }
spec: { targetRefs: [{ name: home }], mode: DISABLE }
`;
}

function writeMesh(echoHint: string): void {
  const next = path.join(root, "next.yaml");
  writeFileSync(next, makeYaml(echoHint));
  renameSync(next, path.join(folder, "mesh.yaml"));
}

before(async () => {
  await startApps();
  await freePorts(["in", "out"].flatMap((way) => ["web", "rpc", "greet", "echo"].map((name) => `${way} ${name}`)));
  mkdirSync(folder);
  writeMesh("");
  const plane = await startPlane(root);
  closers.push(() => plane.stop());
  const proxy = await startProxy(root, "shop/box-1", plane.xdsPort);
  closers.push(() => proxy.drain());
});

after(async () => {
  for (const close of closers.toReversed()) await close();
});

/** What comes back to `words` until there is so much of it, or the end, be it a reset. */
async function talk(port: number, words: string, length: number): Promise<string> {
  const socket = net.connect(port, "127.0.0.1");
  socket.write(words);
  let text = "";
  try {
    for await (const bytes of socket) {
      text += String(bytes);
      if (text.length >= length) break;
    }
  } catch {
    // What had come before is the answer.
  }
  return text;
}

for (const way of ["out", "in"]) {
  test(`ports that say nothing serve what comes, ${way === "out" ? "to other services" : "from plaintext clients"}`, async () => {
    const request = http.get({ host: "127.0.0.1", port: portOf(`${way} web`), path: "/a", agent: false });
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let body = "";
    for await (const bytes of response) body += String(bytes);
    assert.equal(body, "/a by 1.1");
    const session = http2.connect(`http://127.0.0.1:${portOf(`${way} rpc`)}`);
    let answer = "";
    for await (const bytes of session.request({ ":path": "/b" })) answer += String(bytes);
    session.destroy();
    assert.equal(answer, "/b by 2.0");
    assert.equal(await talk(portOf(`${way} greet`), "", GREETING.length), GREETING);
    const words = "SET /a b\r\n";
    assert.equal(await talk(portOf(`${way} echo`), words, words.length), words);
  });
}

test("a hint that is added holds for the next connection: HTTP alone, then opaque bytes alone", async () => {
  const port = portOf("out echo");
  const request = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
  const redis = "*1\r\n$4\r\nPING\r\n";
  assert.equal(await talk(port, redis, redis.length), redis);
  writeMesh(", appProtocol: http");
  while ((await talk(port, redis, redis.length)) === redis) await new Promise((resolve) => setTimeout(resolve, 10));
  writeMesh(", appProtocol: redis");
  // Whoever reads it as HTTP changes it.
  while ((await talk(port, request, request.length)) !== request)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(await talk(port, redis, redis.length), redis);
});
