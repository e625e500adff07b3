import assert from "node:assert/strict";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo, Server } from "node:net";
import { test } from "node:test";
import { makeAuthority } from "#proxy/tls/testing/certs.ts";
import { endpointOf } from "../testing/cluster-of.ts";
import { probeTargetOf } from "../testing/probe-target.ts";
import { HttpsProbe } from "./https-probe.ts";

const IDENTITY = "spiffe://cluster.local/ns/shop/sa/payments";
const authority = await makeAuthority();
const leaf = await authority.issue({ uri: IDENTITY });
const secure = { cert: leaf.chainPem, key: leaf.keyPem };

async function probeOf(server: Server, identity: string): Promise<HttpsProbe> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const check = { kind: "http", path: "/healthz", host: "", method: "", http2: false, expectedStatuses: [] } as const;
  const target = probeTargetOf({
    check,
    endpoint: endpointOf("127.0.0.1", port),
    port,
    expectedIdentity: identity,
    alpn: ["h2", "http/1.1"],
    bundlePem: authority.bundlePem,
  });
  return new HttpsProbe(target, check);
}

test("an HTTPS probe asks over HTTP/2 where ALPN chooses it, and keeps the connection", async () => {
  let status = 200;
  let sessions = 0;
  const hosts: (string | undefined)[] = [];
  const server = http2.createSecureServer(secure, (request, response) => {
    hosts.push(request.authority, request.headers.host);
    response.writeHead(request.url === "/healthz" ? status : 404);
    response.end("body");
  });
  server.on("session", () => void sessions++);
  const probe = await probeOf(server, IDENTITY);
  assert.equal(await probe.check(), "healthy");
  status = 503;
  assert.equal(await probe.check(), "refused");
  assert.equal(sessions, 1);
  assert.deepEqual(new Set(hosts), new Set(["c", undefined]));
  probe.close();
  server.close();
});

test("an HTTPS probe falls back to HTTP/1.1 where ALPN says so", async () => {
  const server = https.createServer(secure, (_request, response) => response.end("ok"));
  const probe = await probeOf(server, IDENTITY);
  assert.equal(await probe.check(), "healthy");
  assert.equal(await probe.check(), "healthy");
  probe.close();
  server.closeAllConnections();
  server.close();
});

test("an HTTPS probe sends nothing to a peer of another identity", async () => {
  let requests = 0;
  const server = http2.createSecureServer(secure, () => void requests++);
  const probe = await probeOf(server, "spiffe://cluster.local/ns/shop/sa/vault");
  await assert.rejects(probe.check(), /expected the identity .*vault, the certificate is for .*payments/);
  assert.equal(requests, 0);
  probe.close();
  server.close();
});

test("a peer that breaks off is a failed check, and the next check connects anew", async () => {
  let isBreaking = true;
  const server = http2.createSecureServer(secure, (_request, response) => {
    if (isBreaking) response.stream.session?.destroy();
    else response.end("ok");
  });
  server.on("sessionError", () => undefined);
  const probe = await probeOf(server, IDENTITY);
  await assert.rejects(probe.check());
  isBreaking = false;
  assert.equal(await probe.check(), "healthy");
  probe.close();
  server.close();
});
