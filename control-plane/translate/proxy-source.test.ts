import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as fc from "fast-check";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { WatchedValue } from "#lib/watched.ts";
import { MeshStore } from "../mesh/store.ts";
import { serviceKey, type RegistryEndpoint, type RegistryService, type Sidecar } from "../registry/registry.ts";
import { ProxySource } from "./proxy-source.ts";
import { statusOf } from "./status.ts";
import { makeMesh, nodeOf } from "./testing/make-mesh.ts";

const golden = readFileSync(new URL("testdata/mesh.in.yaml", import.meta.url), "utf8");
const documents = golden.split("\n---\n");
const ids = ["shop/storefront-1", "shop/reviews-v1", "shop/stock-1"];

test("any subset of valid documents is translated without a throw, for every dialect", () => {
  fc.assert(
    fc.property(fc.subarray(documents), (chosen) => {
      const mesh = makeMesh(chosen.join("\n---\n"));
      for (const id of ids)
        for (const dialect of ["heddle", "envoy", "grpc"] as const) mesh.source.resourcesFor(nodeOf(id), dialect);
      if (mesh.store.current !== undefined) statusOf(mesh.store.current);
    }),
    { numRuns: 60 },
  );
});

test("every cluster that a table names is there, with its endpoints, but for those of unresolved backends", () => {
  fc.assert(
    fc.property(fc.subarray(documents), (chosen) => {
      const resources = makeMesh(chosen.join("\n---\n")).source.resourcesFor(nodeOf("shop/storefront-1"), "heddle");
      if (resources === undefined) return;
      for (const table of resources.routes.values()) {
        for (const { name, action } of table.virtualHosts.flatMap(({ routes }) => routes)) {
          if (action.kind !== "forward" || name.endsWith("(unknown)")) continue;
          const targets = action.target.kind === "weighted" ? action.target.clusters.map((one) => one.name) : [];
          if (action.target.kind === "cluster") targets.push(action.target.name);
          for (const target of targets.filter((one) => !one.startsWith("unresolved/"))) {
            assert.ok(resources.clusters.has(target), target);
            assert.ok(resources.endpoints.has(target), target);
          }
        }
      }
    }),
    { numRuns: 40 },
  );
});

test("an unknown node, or one with another service account than its workload, is given nothing", () => {
  const { source } = makeMesh(golden);
  assert.equal(source.resourcesFor(nodeOf("shop/nobody"), "heddle"), undefined);
  const liar = { ...nodeOf("shop/reviews-v1"), metadata: { serviceAccount: "storefront" } };
  assert.equal(source.resourcesFor(liar, "heddle"), undefined);
  assert.match(source.refusalOf(liar) ?? "", /is "storefront", but that of workload "shop\/reviews-v1" is "reviews"/);
  assert.equal(source.refusalOf(nodeOf("shop/nobody")), undefined);
});

test("a weight that is edited changes one table; everything else keeps its identity", () => {
  const mesh = makeMesh(golden);
  const before = mesh.source.resourcesFor(nodeOf("shop/storefront-1"), "heddle");
  const route = documents.find((document) => document.includes("kind: HTTPRoute\n"));
  assert.ok(route);
  mesh.put(route.replace("weight: 90", "weight: 50"));
  const later = mesh.source.resourcesFor(nodeOf("shop/storefront-1"), "heddle");
  assert.ok(before && later);
  assert.notEqual(later.version, before.version);
  assert.equal(later.listeners, before.listeners);
  assert.equal(later.clusters, before.clusters);
  assert.equal(later.endpoints, before.endpoints);
  assert.notEqual(later.routes.get("outbound/shop/reviews/9080"), before.routes.get("outbound/shop/reviews/9080"));
});

test("documents that say the same make no new version, and going back gives the hash from before", () => {
  const mesh = makeMesh(golden);
  const first = mesh.store.current;
  mesh.put(golden);
  assert.equal(mesh.store.current, first);
  const subset = documents.find((document) => document.includes("name: reviews-v1, namespace"));
  assert.ok(subset);
  mesh.put(subset.replace("{ version: v1 }", "{ version: v3 }"));
  mesh.put(subset);
  assert.equal(mesh.store.current?.hash, first?.hash);
  assert.notEqual(mesh.store.current?.version, first?.version);
});

function makeEndpoint(name: string, sidecar: Sidecar | undefined): RegistryEndpoint {
  const health = "unknown" as const;
  return {
    name,
    address: "127.0.0.1",
    ports: {},
    labels: {},
    weight: 1,
    health,
    serviceAccount: "default",
    sidecar,
    isSuspect: false,
  };
}

function makeService(name: string, endpoints: readonly RegistryEndpoint[]): RegistryService {
  const ports = [{ name: "http", port: 80, protocol: "HTTP" as const }];
  return { namespace: "shop", name, hosts: [], addresses: [], ports, endpoints, origin: "" };
}

test("a proxy that uses 5 of 10,000 services costs 5, and a change of another service costs nothing", () => {
  const used = [10, 20, 30, 40, 50];
  const outbound = used.map((index) => ({ service: `s-${index}`, port: 80, listen: 20_000 + index }));
  const sidecar: Sidecar = {
    inbound: {},
    outbound,
    capture: undefined,
    httpProxyPort: undefined,
    adminPort: undefined,
    metricsPort: undefined,
  };
  const services = new Map<string, RegistryService>();
  const put = (service: RegistryService): void => {
    services.set(serviceKey(service), service);
  };
  for (let index = 0; index < 10_000; index++) put(makeService(`s-${index}`, [makeEndpoint(`e-${index}`, undefined)]));
  put(makeService("client", [makeEndpoint("client-1", sidecar)]));
  const store = new MeshStore(new FakeClock(), {
    services: () => new Map(services),
    workloads: () => new Map(),
    resources: () => [],
    isComplete: () => true,
  });
  const source = new ProxySource(store);
  store.rebuild();
  const first = source.resourcesFor(nodeOf("shop/client-1"), "heddle");
  assert.deepEqual(
    [...(first?.clusters.keys() ?? [])],
    used.map((index) => `outbound/shop/s-${index}/80`),
  );
  // A listener, a table, a cluster and a load assignment for each.
  assert.equal(source.translatedCount, 20);
  put(makeService("s-999", [makeEndpoint("e-999", undefined), makeEndpoint("more", undefined)]));
  store.rebuild();
  const second = source.resourcesFor(nodeOf("shop/client-1"), "heddle");
  assert.equal(source.translatedCount, 20);
  assert.equal(second?.endpoints, first?.endpoints);
  put(makeService("s-10", [makeEndpoint("e-10", undefined), makeEndpoint("another", undefined)]));
  store.rebuild();
  const third = source.resourcesFor(nodeOf("shop/client-1"), "heddle");
  assert.equal(source.translatedCount, 24);
  assert.equal(third?.clusters, first?.clusters);
  assert.notEqual(third?.endpoints, first?.endpoints);
});

test("a proxy that asks for hosts on demand gets an empty table, then those that it asks for, with their clusters", () => {
  const mesh = makeMesh(readFileSync(new URL("testdata/routes.in.yaml", import.meta.url), "utf8"));
  const client = [...(mesh.store.current?.tables.workloads.values() ?? [])].find((one) => one.httpProxyPort)?.id ?? "";
  const node = { ...nodeOf(client), metadata: { onDemand: ["virtualHosts"] } };
  const whole = mesh.source.resourcesFor(nodeOf(client), "heddle");
  const before = mesh.source.resourcesFor(node, "heddle", new Set());
  const table = "outbound/http-proxy";
  assert.equal(whole?.routes.get(table)?.onDemand, false);
  assert.deepEqual(before?.routes.get(table)?.virtualHosts, []);
  assert.equal(before?.routes.get(table)?.onDemand, true);
  const asked = new Set([`${table}/stock:8080`, `${table}/nobody.shop`, "another/stock"]);
  for (const host of whole?.routes.get(table)?.virtualHosts ?? []) {
    const [name = ""] = host.domains;
    const after = mesh.source.resourcesFor(node, "heddle", new Set([...asked, `${table}/${name}`]));
    assert.deepEqual(after?.virtualHosts.get(`${table}/${name}`), host);
    assert.ok(!after?.virtualHosts.has(`${table}/nobody.shop`));
    for (const { action } of host.routes) {
      if (action.kind === "forward" && action.target.kind === "cluster" && !action.target.name.startsWith("unresolved"))
        assert.ok(after?.clusters.has(action.target.name) && after.endpoints.has(action.target.name));
    }
  }
  const envoy = mesh.source.resourcesFor(node, "envoy", asked);
  assert.equal(envoy?.routes.get(table)?.onDemand, false);
  assert.deepEqual(mesh.source.resourcesFor(node, "heddle", new Set())?.clusters, before?.clusters);
});

test("proxies are told of changed roots at once, at the same version of the mesh", () => {
  const { store } = makeMesh(golden);
  const roots = new WatchedValue<string | undefined>("old");
  const source = new ProxySource(store, roots);
  let told = 0;
  source.subscribe(() => told++);
  const before = source.resourcesFor(nodeOf("shop/storefront-1"), "heddle");
  assert.deepEqual(before?.secrets.get("ROOTCA"), { kind: "validation", name: "ROOTCA", bundlePem: "old" });
  const toldBefore = told;
  roots.set("old and new");
  assert.equal(told, toldBefore + 1);
  const after = source.resourcesFor(nodeOf("shop/storefront-1"), "heddle");
  assert.deepEqual(after?.secrets.get("ROOTCA"), { kind: "validation", name: "ROOTCA", bundlePem: "old and new" });
  assert.equal(after.version, before?.version);
  assert.equal(after.clusters, before?.clusters);
});

test("a port of opaque TCP whose endpoints are divided by tenants is refused, and the status says so", () => {
  const mesh = makeMesh(`
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { tenants: { isolate: true, sources: [{ jwtClaim: { name: tenant } }, { header: { name: x-tenant, trusted: { identities: ["spiffe://cluster.local/ns/shop/sa/web"] } } }] } }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ledger, namespace: shop }
spec:
  ports: [{ name: db, port: 5432, protocol: TCP }]
  endpoints: [{ name: ledger-a, address: 127.0.0.1, labels: { tenant: a } }]
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: web, namespace: shop }
spec:
  ports: [{ name: http, port: 80 }]
  endpoints:
    - { name: web-1, address: 127.0.0.1, sidecar: { inbound: {}, outbound: [{ service: ledger, port: 5432, listen: 19001 }] } }
`);
  const networkOf = () => {
    const resources = mesh.source.resourcesFor(nodeOf("shop/web-1"), "heddle");
    const [listener] = [...(resources?.listeners.values() ?? [])];
    const network = listener?.filterChains[0]?.network;
    return network?.kind === "tcp" ? { names: network.tcp.clusters.map(({ name }) => name), resources } : undefined;
  };
  const conditionsOf = (kind: string) =>
    statusOf(mesh.store.current ?? assert.fail()).find((one) => one.kind === kind && one.name !== "web")?.conditions;
  assert.deepEqual(networkOf()?.names, ["divided-by-tenants/outbound/shop/ledger/5432"]);
  assert.equal(networkOf()?.resources?.clusters.size, 0);
  assert.match(conditionsOf("ServiceEntry")?.[0]?.message ?? "", /port db is opaque TCP and its endpoints are divided/);
  assert.match(conditionsOf("MeshConfig")?.[1]?.message ?? "", /no request has a verified JWT yet/);
  mesh.put(`
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: {}
`);
  assert.deepEqual(networkOf()?.names, ["outbound/shop/ledger/5432"]);
  assert.equal(conditionsOf("ServiceEntry"), undefined);
  assert.equal(conditionsOf("MeshConfig")?.length, 1);
});

const tenants = `apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { mtls: { mode: DISABLE }, tenants: { sources: [{ peerIdentity: { pattern: "spiffe://*/ns/{tenant}/sa/*" } }] } }
---
`;
const undeclared = (labels: string): string => `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: box, namespace: shop }
spec:
  ports: [{ name: main, port: 8080 }]
  endpoints:
    - { name: box-1, address: 127.0.0.1, labels: { ${labels} }, sidecar: { inbound: { main: 18080 }, outbound: [{ service: box, port: main, listen: 19001 }] } }
`;

test("a port that says nothing takes opaque bytes, unless its endpoints belong to tenants", () => {
  const defaultsOf = (yaml: string): readonly (string | undefined)[] => {
    const resources = makeMesh(yaml).source.resourcesFor(nodeOf("shop/box-1"), "heddle");
    return [...(resources?.listeners.values() ?? [])].map(({ defaultFilterChain: chain }) => chain?.network.kind);
  };
  assert.deepEqual(defaultsOf(undeclared("")), ["tcp", "tcp"]);
  assert.deepEqual(defaultsOf(tenants + undeclared("version: v1")), ["tcp", "tcp"]);
  assert.deepEqual(defaultsOf(tenants + undeclared("tenant: acme")), [undefined, undefined]);
});

test("how long a route's requests may be silent is left to the callers' proxies, as it is for a service's", () => {
  const mesh = makeMesh(`apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: reviews, namespace: shop }
spec: { ports: [{ name: http, port: 80, protocol: HTTP }], endpoints: [{ name: r-1, address: 127.0.0.1, sidecar: { inbound: { http: 19001 } } }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: mine, namespace: client }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews, namespace: shop }]
  rules: [{ name: slow, backendRefs: [{ name: reviews, namespace: shop, port: 80 }] }]
`);
  const idle = (): readonly (string | undefined)[] => {
    const { listeners = [] } = mesh.source.resourcesFor(nodeOf("shop/r-1"), "heddle") ?? {};
    const found = JSON.stringify([...listeners]).matchAll(/"idleTimeoutMs":(\d+)(?=,"maxGrpc)/g);
    return [...new Set([...found].map(([, ms]) => ms))];
  };
  assert.deepEqual(idle(), []);
  mesh.put(`apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: slow, namespace: client }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: mine, sectionName: slow }]
  timeouts: { idle: 1h }
`);
  assert.deepEqual(idle(), ["0"]);
});
