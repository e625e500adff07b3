// What applications in injected pods call beside the services of their mesh: the API server, DNS, the outside, pods by their own names
// and addresses, services of every shape; and that whatever is known to have an identity is called by mutual TLS.
// Time limit: 600 s.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";

import { makeRoot, makeServerLeaf } from "#control-plane/identity/certificates.ts";
import { until } from "../wire/until.ts";
import { Cluster } from "./cluster/cluster.ts";
import { PORTS } from "./egress/application.ts";
import { dnsAnswers, dnsQuery } from "./egress/dns.ts";
import { addressOf, Caller, NAMESPACE, serviceOf, setOf } from "./egress/pods.ts";
import { installMesh, makeMeshNamespace } from "./mesh.ts";
import { deleteNamespace, untilRolledOut } from "./pods.ts";

const NODE = "10.77.0.1";
/** Of nobody (RFC 5737). */
const NOWHERE = "198.51.100.7";
const DNS = "10.96.0.10";
const HOUR_MS = 3_600_000;
const CLIENT = "URI=spiffe://cluster.local/ns/egress/sa/client";

const cluster = Cluster.join();
let client: Caller;
/**
 * On the node, outside of the mesh: plain HTTP, and HTTPS with a certificate of an authority of its own; on two ports that something
 * in the mesh names, and on two of which nobody knows.
 */
const named = { http: 0, https: 0 };
const outside = { http: 0, https: 0, ca: "" };
const servers: http.Server[] = [];

async function openOutside(): Promise<void> {
  const validity = { notBeforeMs: Date.now() - HOUR_MS, notAfterMs: Date.now() + 24 * HOUR_MS };
  const root = await makeRoot("outside", validity);
  const { certificatePem, keyPem } = await makeServerLeaf(root, ["maps.example", "outside.example"], [NODE], validity);
  outside.ca = root.certificatePem;
  const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const from = request.socket.remoteAddress?.replace("::ffff:", "");
    response.end(JSON.stringify({ outside: request.url, host: request.headers.host, from }));
  };
  for (const ports of [named, outside]) {
    ports.http = await listen(http.createServer(answer));
    ports.https = await listen(https.createServer({ cert: certificatePem, key: keyPem }, answer));
  }
}

async function listen(server: http.Server): Promise<number> {
  servers.push(server);
  server.listen(0, NODE);
  await once(server, "listening");
  return (server.address() as AddressInfo).port; // as: of a port
}

function meshConfig(outboundPolicy: "allow" | "deny"): object {
  const accessLog = { fields: { local: "%DOWNSTREAM_LOCAL_ADDRESS%" } };
  const metadata = { name: "default" };
  return { apiVersion: "heddle.dev/v1alpha1", kind: "MeshConfig", metadata, spec: { outboundPolicy, accessLog } };
}

before(async () => {
  await Promise.all([openOutside(), installMesh(cluster)]);
  await makeMeshNamespace(cluster, NAMESPACE);
  const metadata = { namespace: NAMESPACE };
  const selectsWeb = { selector: { app: "web" } };
  await cluster.apply([
    meshConfig("allow"),
    {
      apiVersion: "heddle.dev/v1alpha1",
      kind: "PeerAuthentication",
      metadata: { ...metadata, name: "strict" },
      spec: { mode: "STRICT" },
    },
    ...setOf("client", 1),
    ...setOf("web", 2),
    serviceOf("client", { selector: { app: "client" } }),
    serviceOf("web", { ...selectsWeb, clusterIP: "None" }),
    serviceOf("balanced", { ...selectsWeb, ipFamilyPolicy: "RequireDualStack" }),
    serviceOf("empty", { selector: { app: "nobody" } }),
    serviceOf("alias", { type: "ExternalName", externalName: "balanced.egress.svc.cluster.local" }),
    serviceOf("manual", { ports: [{ name: "http", port: 80, targetPort: named.http }] }),
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, name: "manual", labels: { "kubernetes.io/service-name": "manual" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: named.http }],
      endpoints: [{ addresses: [NODE] }],
    },
    {
      apiVersion: "heddle.dev/v1alpha1",
      kind: "ServiceEntry",
      metadata: { ...metadata, name: "maps" },
      spec: {
        hosts: ["maps.example"],
        ports: [
          { name: "http", port: 80, protocol: "HTTP" },
          { name: "https", port: 443, protocol: "HTTPS" },
        ],
        endpoints: [{ name: "maps", address: NODE, ports: { http: named.http, https: named.https } }],
      },
    },
  ]);
  await untilRolledOut(cluster, NAMESPACE, "statefulset/client", "statefulset/web");
  client = await Caller.of(cluster, "client-0");
  // What is ready is known to others a moment later.
  for (const name of ["balanced", "client", "manual"])
    await until(`${name} is known`, async () => (await client.get(`http://${name}/`)).status === 200, 60_000);
});

after(async () => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections();
  }
  await cluster.kubectl("delete", "meshconfig", "default", "--ignore-not-found");
  await deleteNamespace(cluster, NAMESPACE);
});

describe("services of the mesh", () => {
  it("are reached by each of their names and in both families, by mutual TLS", async () => {
    const names = ["balanced", "balanced.egress", "balanced.egress.svc", "balanced.egress.svc.cluster.local"];
    for (const name of names)
      for (const family of [4, 6] as const) {
        const told = await client.told(`http://${name}/names`, { family });
        assert.match(told.pod, /^web-[01]$/);
        assert.equal(told.host, name);
        assert.equal(told.from, "127.0.0.6");
        assert.ok(told.client.includes(CLIENT), told.client);
      }
  });

  it("are also called through an ExternalName, whose Host stays", async () => {
    const told = await client.told("http://alias/alias");
    assert.match(told.pod, /^web-[01]$/);
    assert.equal(told.host, "alias");
    assert.ok(told.client.includes(CLIENT), told.client);
  });

  it("are counted when a Host names another than that which is called", async () => {
    const labels = 'listener="outbound/egress/balanced/80@captured"';
    const before = await client.metric("heddle_host_mismatches_total", labels);
    const told = await client.told("http://balanced/other-host", { headers: { host: "other.example" } });
    assert.equal(told.host, "other.example");
    assert.equal(await client.metric("heddle_host_mismatches_total", labels), before + 1);
  });

  it("lead back to the pod that calls, by mutual TLS with itself", async () => {
    const told = await client.told("http://client/itself");
    assert.equal(told.pod, "client-0");
    assert.ok(told.client.includes(CLIENT), told.client);
  });

  it("without endpoints are answered 503 with UH, never passed on", async () => {
    const { status, headers, body } = await client.get("http://empty/empty");
    assert.equal(status, 503);
    assert.match(
      headers["proxy-status"] ?? "",
      /error=destination_unavailable; details=".*outbound\/egress\/empty\/80/,
    );
    assert.match(body, /"no_healthy_upstream"/);
    const line = await client.logged("the call to empty", ({ path }) => path === "/empty");
    assert.equal(line.upstream_cluster, "outbound/egress/empty/80");
    assert.equal(line.response_flags, "UH");
  });

  it("with endpoints of somebody's own are called where these are", async () => {
    const { body } = await client.get("http://manual/manual");
    assert.equal((JSON.parse(body) as { outside: string }).outside, "/manual");
    const line = await client.logged("the call to manual", ({ path }) => path === "/manual");
    assert.equal(line.upstream_cluster, "outbound/egress/manual/80");
    assert.equal(line.upstream_host, `${NODE}:${named.http}`);
  });
});

describe("pods", () => {
  it("of a StatefulSet are reached by their own names, each one itself, by mutual TLS", async () => {
    for (const pod of ["web-0", "web-1"]) {
      const url = `http://${pod}.web.egress.svc.cluster.local:${PORTS.http}/own-name`;
      const told = await client.told(url);
      assert.equal(told.pod, pod);
      assert.equal(told.host, new URL(url).host);
      assert.ok(told.client.includes(CLIENT), told.client);
    }
    const line = await client.logged("a call by a pod's name", ({ path }) => path === "/own-name");
    assert.equal(line.upstream_cluster, "direct/egress/web/80");
  });

  it("of a headless Service are reached by the name of all of them", async () => {
    const told = await client.told(`http://web:${PORTS.http}/headless`);
    assert.match(told.pod, /^web-[01]$/);
    assert.ok(told.client.includes(CLIENT), told.client);
  });

  it("are reached by mutual TLS on ports of no Service too", async () => {
    const address = await addressOf(cluster, "web-0");
    const told = await client.told(`http://${address}:${PORTS.unlisted}/unlisted`);
    assert.equal(told.pod, "web-0");
    assert.equal(told.at, `${address} ${PORTS.unlisted}`);
    assert.ok(told.client.includes(CLIENT), told.client);
    assert.equal(await client.metric("heddle_plaintext_connections_total", address), 0);
  });

  it("are reached by UDP as if there were no mesh", async () => {
    const host = await addressOf(cluster, "web-0");
    const bytes = Buffer.from("hello").toString("base64");
    const { body, error } = await client.order({ kind: "udp", host, port: PORTS.udp, bytes });
    assert.equal(error, undefined);
    assert.equal(Buffer.from(body, "base64").toString(), `hello from ${client.address}`);
  });
});

describe("beside the mesh", () => {
  it("the API server takes a pod's token over TLS of the application's own", async () => {
    const { status, body, error } = await client.get(
      "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/selfsubjectreviews",
      {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" }),
        withToken: true,
      },
    );
    assert.equal(error, undefined);
    assert.equal(status, 201);
    assert.match(body, /"system:serviceaccount:egress:client"/);
    await client.logged(
      "the connection to the API server",
      (line) => line.upstream_cluster === "outbound/default/kubernetes/443",
    );
  });

  it("DNS answers over UDP and over TCP", async () => {
    const name = "web-0.web.egress.svc.cluster.local";
    const query = dnsQuery(name);
    const address = await addressOf(cluster, "web-0");
    const udp = await client.order({ kind: "udp", host: DNS, port: 53, bytes: query.toString("base64") });
    assert.deepEqual(dnsAnswers(Buffer.from(udp.body, "base64")), [address]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(query.length);
    const bytes = Buffer.concat([length, query]).toString("base64");
    const tcp = await client.order({ kind: "tcp", host: DNS, port: 53, bytes, answerBytes: udp.body.length / 2 });
    assert.deepEqual(dnsAnswers(Buffer.from(tcp.body, "base64").subarray(2)), [address]);
    await client.logged("DNS over TCP", (line) => line.upstream_cluster === "outbound/kube-system/kube-dns/53");
  });

  it("HTTPS to the outside is between the application and that server", async () => {
    const url = `https://${NODE}:${outside.https}/secure`;
    const { status, body, error } = await client.get(url, { ca: outside.ca });
    assert.equal(error, undefined);
    assert.equal(status, 200);
    assert.equal((JSON.parse(body) as { outside: string }).outside, "/secure");
    const line = await client.logged("the connection outside", ({ local }) => local === `${NODE}:${outside.https}`);
    assert.equal(line.upstream_cluster, "outbound/passthrough");
    assert.ok((await client.metric("heddle_plaintext_connections_total", `${NODE}:${outside.https}`)) >= 1);
  });
});

describe("with outboundPolicy deny", () => {
  before(async () => {
    await cluster.apply([meshConfig("deny")]);
    await until(
      "the policy has reached the pod",
      async () => (await client.get(`http://${NODE}:${outside.http}/denied`)).status === 502,
      60_000,
    );
  });
  after(() => cluster.apply([meshConfig("allow")]));

  it("what nobody knows is answered with the reason, and never called", async () => {
    const { status, body } = await client.get(`http://${NODE}:${outside.http}/denied`);
    assert.equal(status, 502);
    assert.match(body, /outboundPolicy: deny/);
    const secure = await client.get(`https://${NODE}:${outside.https}/denied`, { ca: outside.ca });
    assert.ok(secure.error !== undefined, JSON.stringify(secure));
  });

  it("a host of a ServiceEntry is reached by Host, wherever the call was going", async () => {
    const { status, body } = await client.get("http://maps.example/by-host", { at: NOWHERE });
    assert.equal(status, 200, body);
    assert.equal((JSON.parse(body) as { host: string }).host, "maps.example");
  });

  it("and by the server name of the application's own TLS", async () => {
    const { status, body, error } = await client.get("https://maps.example/by-sni", { at: NOWHERE, ca: outside.ca });
    assert.equal(error, undefined);
    assert.equal(status, 200, body);
  });

  it("services, pods and the API server are known, as before", async () => {
    const told = await client.told("http://balanced/allowed");
    assert.ok(told.client.includes(CLIENT), told.client);
    assert.equal((await client.get("http://empty/")).status, 503);
    const address = await addressOf(cluster, "web-1");
    assert.equal((await client.told(`http://${address}:${PORTS.unlisted}/`)).pod, "web-1");
    const { status } = await client.get("https://kubernetes.default.svc/version", { withToken: true });
    assert.equal(status, 200);
  });
});

describe("a pod that ends", () => {
  it("loses no call: those that it has are finished, and the others go elsewhere on the connections that callers keep", async () => {
    const old = await Caller.of(cluster, "web-0");
    await client.order({ kind: "repeat", url: "http://balanced/repeat", lanes: 4 });
    const slow = client.told(`http://web-0.web.egress.svc.cluster.local:${PORTS.http}/slow?ms=6000`);
    await until("the slow call has begun", async () => (await old.activeRequests()) > 0, 30_000);
    await cluster.kubectl("-n", NAMESPACE, "delete", "pod", "web-0", "--wait=false");
    assert.equal((await slow).pod, "web-0");
    await cluster.kubectl("-n", NAMESPACE, "wait", "--for=delete", "pod/web-0", "--timeout=60s").catch(() => "");
    await untilRolledOut(cluster, NAMESPACE, "statefulset/web");
    const counts = await client.stop();
    assert.deepEqual(Object.keys(counts), ["200"], JSON.stringify(counts));
    assert.ok((counts["200"] ?? 0) > 100, JSON.stringify(counts));
  });
});
