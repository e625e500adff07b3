// Servers that others wrote, in front of them one sidecar, and two with mutual TLS between them.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

import { makeAuthority } from "#proxy/tls/testing/certs.ts";

import { accepts } from "./accepts.ts";
import { listen } from "./apps.ts";
import { readAll } from "./bridge.ts";
import { atEnd } from "./cleanup.ts";
import { getDebianPrograms } from "../debian.ts";
import { buildGoFile } from "../go-tools.ts";
import { type MeshApp, startMesh } from "./mesh-pair.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";
import { freePort } from "./opaque-servers.ts";
import { until } from "./until.ts";

export const SERVERS = ["node1", "node2", "go1", "go2", "nginx", "nghttpd"] as const;
export type ServerName = (typeof SERVERS)[number];

/** What `/file` holds: a MiB. */
export const FILE: Buffer = Buffer.alloc(1 << 20, "heddle file 0123");

export interface Way {
  readonly name: string;
  readonly port: (server: ServerName) => number;
}

export interface Peers {
  readonly ways: readonly Way[];
  /** HTTP/2 or HTTP/1.1 by ALPN, to node1. */
  readonly tlsPort: number;
  readonly authorityFile: string;
  /** A folder for what clients upload or write. */
  readonly folder: string;
}

export async function startPeers(t: TestContext): Promise<Peers> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-peers-"));
  atEnd(t, () => fs.rmSync(folder, { recursive: true, force: true }));
  fs.writeFileSync(path.join(folder, "file"), FILE);
  const go = await startGo(t);
  const apps: Readonly<Record<ServerName, MeshApp>> = {
    node1: { port: await startNode(t, http.createServer(answer)), protocol: "http1" },
    // as: node:http2's compatible API has all that `answer` uses
    node2: {
      port: await startNode(t, http2.createServer({ maxSessionMemory: 2048 }, answer as never)),
      protocol: "http2",
    },
    go1: { port: go, protocol: "http1" },
    go2: { port: go, protocol: "http2" },
    nginx: { port: await startNginx(t, folder), protocol: "http1" },
    nghttpd: { port: await startNghttpd(t, folder), protocol: "http2" },
  };
  const authority = await makeAuthority();
  const leaf = await authority.issue({ dns: ["shop.example"] });
  const authorityFile = path.join(folder, "authority.pem");
  fs.writeFileSync(authorityFile, authority.bundlePem);
  const tls = { certificatePem: leaf.chainPem, keyPem: leaf.keyPem };
  const [one, mesh] = await Promise.all([
    Proxy.start({
      listeners: [...SERVERS.map((name) => httpListener(name, name)), httpListener("tls", "node1", "AUTO", tls)],
      clusters: SERVERS.map((name) => cluster(name, apps[name].port, apps[name].protocol)),
    }),
    startMesh(t, apps),
  ]);
  atEnd(t, () => one.stop());
  const ways = [
    { name: "one sidecar", port: (server: ServerName) => one.port(server) },
    { name: "two sidecars", port: (server: ServerName) => mesh.caller.port(server) },
  ];
  return { ways, tlsPort: one.port("tls"), authorityFile, folder };
}

/** What `peer.go` answers, as far as Node can. */
function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const { method = "", url = "" } = request;
  switch (url) {
    case "/file":
      response.writeHead(200, { "content-length": FILE.length });
      return void response.end(method === "HEAD" ? undefined : FILE);
    case "/hints":
      response.writeEarlyHints({ link: "</a.css>; rel=preload" });
      return void response.end("page");
    case "/chunks":
      for (let i = 0; i < 3; i++) response.write(`part ${i};`);
      return void response.end();
    case "/trailers":
      response.setHeader("trailer", "x-sum");
      return void readAll(request).then(() => {
        response.write(`got ${String(request.trailers["x-req"] ?? "")}`);
        response.addTrailers({ "x-sum": "4" });
        response.end();
      });
    default:
      return void readAll(request).then((body) => response.end(`${method} ${url} ${body.length}`));
  }
}

async function startNode(t: TestContext, server: http.Server | http2.Http2Server): Promise<number> {
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const app = await listen(server, () => {
    for (const socket of sockets) socket.destroy();
  });
  atEnd(t, () => app.stop());
  return app.port;
}

export function getPeer(): string {
  return buildGoFile(path.join(import.meta.dirname, "peer.go"));
}

async function startGo(t: TestContext): Promise<number> {
  const child = spawn(getPeer(), ["server"], { stdio: ["ignore", "pipe", "inherit"] });
  atEnd(t, () => stop(child));
  return await new Promise<number>((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the Go server ended with ${code}`)));
    createInterface({ input: child.stdout }).once("line", (line) => resolve(Number(line.slice("port ".length))));
  });
}

async function startNginx(t: TestContext, folder: string): Promise<number> {
  const nginx = getDebianPrograms({
    name: "nginx",
    packages: ["nginx", "libpcre2-8-0", "libssl3", "zlib1g", "libcrypt1"],
    folders: ["usr/sbin"],
    program: "nginx",
    versionFlag: "-v",
  });
  const port = await freePort();
  const file = path.join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${path.join(folder, name)};`,
  );
  fs.writeFileSync(
    file,
    `daemon off; master_process off; pid ${path.join(folder, "nginx.pid")}; error_log stderr crit;
events {}
http {
  access_log off; ${temporary.join(" ")} client_max_body_size 0;
  server {
    listen 127.0.0.1:${port};
    location / { root ${folder}; }
    location /say { return 200 "$request_method $uri $content_length"; }
  }
}`,
  );
  await run(t, nginx.file("nginx"), ["-c", file, "-p", folder], nginx.env, port);
  return port;
}

async function startNghttpd(t: TestContext, folder: string): Promise<number> {
  const nghttp = getNghttp();
  const port = await freePort();
  const options = ["--no-tls", "--address=127.0.0.1", `--htdocs=${folder}`, "--echo-upload", "--trailer=x-sum: 4"];
  await run(t, nghttp.file("nghttpd"), [...options, String(port)], nghttp.env, port);
  return port;
}

/** nghttp, nghttpd and h2load. */
export function getNghttp(): ReturnType<typeof getDebianPrograms> {
  return getDebianPrograms({
    name: "nghttp2",
    packages: [
      "nghttp2-client",
      "nghttp2-server",
      "libnghttp2-14",
      "libev4",
      "libjansson4",
      "libjemalloc2",
      "libxml2",
      "libicu72",
    ],
    folders: ["usr/bin", "usr/sbin"],
    program: "nghttpd",
  });
}

async function run(
  t: TestContext,
  file: string,
  options: readonly string[],
  env: NodeJS.ProcessEnv,
  port: number,
): Promise<void> {
  const child = spawn(file, options, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
  child.on("error", (error) => (said += error.message));
  atEnd(t, () => stop(child));
  await until(`${file} listens`, () => {
    if (child.exitCode !== null || child.pid === undefined) throw new Error(`${file} ended: ${said}`);
    return accepts(port);
  });
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
