// Virtual hosts on demand through both planes: a client that uses HTTP_PROXY, a real proxy with its worker, a real control plane.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import type { ControlPlane } from "#control-plane/app.ts";
import type { ProxyApp } from "#proxy/app/proxy-app.ts";
import { startPlane, startProxy } from "./testing/both-planes.ts";

const root = mkdtempSync(path.join(tmpdir(), "heddle-on-demand-"));
const folder = path.join(root, "mesh");
let plane: ControlPlane;
let proxy: ProxyApp;
let proxyPort: number;
let application: Server;

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port; // as: a TCP server's
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const entry = (name: string, port: number, endpoint: string): string => `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop }
spec:
  ports: [{ name: http, port: ${port} }]
  endpoints: [${endpoint}]
---`;

before(async () => {
  application = createServer((incoming, response) => response.end(`${incoming.headers.host} ${incoming.url}`));
  const applicationPort = await listen(application);
  proxyPort = await freePort();
  mkdirSync(folder);
  const reviews = `{ name: reviews-1, address: 127.0.0.1, ports: { http: ${applicationPort} } }`;
  const web = `{ name: web-1, address: 127.0.0.1, sidecar: { inbound: {}, outbound: [], httpProxyPort: ${proxyPort} } }`;
  writeFileSync(path.join(folder, "mesh.yaml"), entry("reviews", 9080, reviews) + entry("web", 80, web));
  plane = await startPlane(root);
  proxy = await startProxy(root, "shop/web-1", plane.xdsPort);
});

after(async () => {
  await proxy.drain();
  await plane.stop();
  application.close();
  rmSync(root, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly why: string;
}

/** As a program with HTTP_PROXY set: the whole URL in the request line, to the proxy's port. */
async function get(url: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port: proxyPort,
      path: url,
      headers: { host: new URL(url).host },
      agent: false,
    };
    request(options, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => (body += text));
      const why = String(response.headers["proxy-status"] ?? "");
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, why }));
    })
      .on("error", reject)
      .end();
  });
}

async function debugOfProxy(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${plane.metricsPort}/debug/proxies`);
  return response.text();
}

test("a host comes at its first request, with its cluster; requests at the same time wait together", async () => {
  assert.doesNotMatch(await debugOfProxy(), /virtualHost/);
  const answers = await Promise.all(Array.from({ length: 8 }, () => get("http://reviews.shop:9080/a?b")));
  for (const answer of answers) assert.deepEqual(answer, { status: 200, body: "reviews.shop:9080 /a?b", why: "" });
  assert.match(await debugOfProxy(), /"kind":\s*"virtualHost"[^}]*"subscribed":\s*1/);
  // Its other names came with it.
  assert.equal((await get("http://REVIEWS/x")).status, 200);
  assert.match(await debugOfProxy(), /"kind":\s*"virtualHost"[^}]*"subscribed":\s*1/);
});

test("a host that does not exist is 404, and is not kept", async () => {
  const answer = await get("http://nobody.shop/");
  assert.equal(answer.status, 404);
  assert.match(answer.why, /destination_not_found/);
  assert.match(await debugOfProxy(), /"kind":\s*"virtualHost"[^}]*"subscribed":\s*1/);
});

test("without a control plane, known hosts are served, after a restart too; for others nobody says that they do not exist", async () => {
  const { xdsPort } = plane;
  await plane.stop();
  await proxy.drain();
  const stored = readFileSync(path.join(root, "proxy", "configuration.json"), "utf8");
  assert.ok(stored.includes("outbound/http-proxy/reviews.shop:9080"));
  proxy = await startProxy(root, "shop/web-1", plane.xdsPort);
  assert.equal((await get("http://reviews.shop:9080/a")).status, 200);
  const answer = await get("http://web.shop/");
  assert.equal(answer.status, 503);
  assert.match(answer.why, /web\.shop could not be looked up: the control plane did not answer/);
  plane = await startPlane(root, xdsPort);
  assert.equal((await get("http://reviews.shop:9080/a")).status, 200);
});
