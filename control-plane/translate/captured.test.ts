// What captured pods are given: which address leads where, who shares what, and what a change costs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { formatAddress } from "#config/model/address.ts";
import type { FilterChain, Listener } from "#config/model/listener.ts";
import type { ProxyResources } from "../mesh/resources.ts";
import { parsePorts } from "../mesh/ports.ts";
import { meshPortOf } from "../mesh/workload.ts";
import type { RegistryEndpoint, RegistryWorkload } from "../registry/registry.ts";
import { makeMesh, nodeOf, type TestMesh } from "./testing/make-mesh.ts";

const shop = readFileSync(new URL("testdata/captured.in.yaml", import.meta.url), "utf8");

const lonely: RegistryWorkload = {
  namespace: "shop",
  name: "job-1",
  addresses: ["10.244.0.9", "fd44::9"],
  labels: {},
  serviceAccount: "job",
  sidecar: {
    inbound: {},
    outbound: [],
    capture: { inboundPort: 15_006, outboundPort: 15_001 },
    httpProxyPort: undefined,
    adminPort: undefined,
    metricsPort: undefined,
  },
};

function meshConfig(spec: string): string {
  return `apiVersion: heddle.dev/v1alpha1\nkind: MeshConfig\nmetadata: { name: default }\nspec: ${spec}\n`;
}

function given(mesh: TestMesh, id: string): ProxyResources {
  return mesh.source.resourcesFor(nodeOf(id), "heddle") ?? assert.fail(`${id} is given nothing`);
}

function listenerOf({ listeners }: ProxyResources, name: string): Listener {
  return listeners.get(name) ?? assert.fail(`no listener ${name}`);
}

/** The listeners without a socket by the addresses that lead to them. */
function ledBy({ listeners }: ProxyResources, direction: Listener["direction"]): Record<string, readonly string[]> {
  const found: Record<string, string[]> = {};
  for (const listener of listeners.values()) {
    if (listener.bindToPort || listener.direction !== direction) continue;
    for (const address of [listener.address, ...(listener.additionalAddresses ?? [])])
      (found[formatAddress(address)] ??= []).push(listener.name);
  }
  return found;
}

function clustersOf(chain: FilterChain | undefined): readonly string[] {
  return chain?.network.kind === "tcp" ? chain.network.tcp.clusters.map(({ name }) => name) : [];
}

describe("a captured pod", () => {
  it("reaches services by their addresses and instances by theirs, each address for one of them alone", () => {
    assert.deepEqual(ledBy(given(makeMesh(shop), "shop/web-1"), "outbound"), {
      "10.96.0.1:80": ["outbound/shop/web/80@captured"],
      "[fd96::1]:80": ["outbound/shop/web/80@captured"],
      "10.244.0.1:8080": ["direct/shop/web/80"],
      "10.96.0.2:5432": ["outbound/shop/db/5432@captured"],
      // On ports of no service.
      "10.244.0.1:0": ["pods/shop/web/0"],
      "10.244.0.2:0": ["pods/shop/default/0"],
      // Headless services are called by no other address.
      "10.244.0.2:5432": ["direct/shop/db-headless/5432"],
      "10.96.0.3:9000": ["outbound/shop/empty/9000@captured"],
      "203.0.113.1:80": ["direct/shop/maps/80"],
      "203.0.113.1:443": ["direct/shop/maps/443"],
    });
  });

  it("names colours to its proxy where a colour trusts that listener, and its neighbours do not", () => {
    const colour =
      '{ key: tenant, from: [{ header: { name: x-tenant } }], trusted: { listeners: ["shop/web-1:15001"] } }';
    const mesh = makeMesh(`${meshConfig(`{ colours: [${colour}] }`)}---\n${shop}`);
    const trusts = (id: string): boolean =>
      JSON.stringify(listenerOf(given(mesh, id), "outbound/shop/web/80@captured")).includes('"trustsLocal":true');
    assert.deepEqual([trusts("shop/web-1"), trusts("shop/db-0")], [true, false]);
  });

  it("is reached on a port that two services share under the one that has an address, by the names of both", () => {
    const mesh = makeMesh(`${meshConfig("{ mtls: { mode: PERMISSIVE } }")}---\n${shop}`);
    const resources = given(mesh, "shop/db-0");
    assert.deepEqual(ledBy(resources, "inbound"), {
      "10.244.0.2:5432": ["inbound/shop/db/5432"],
      // By whatever address: that of a second network must not pass by the port's policies.
      "0.0.0.0:5432": ["inbound/shop/db/5432"],
      "[::]:5432": ["inbound/shop/db/5432"],
    });
    const [chain] = listenerOf(resources, "inbound/shop/db/5432").filterChains;
    assert.deepEqual(chain?.match.serverNames, [
      "outbound_.5432_._.db.shop",
      "outbound_.5432_._.db-headless.shop",
      // Of callers who know the pod, and not yet that the port is in a service.
      "outbound_.0_._.default.shop",
    ]);
  });

  it("takes no plaintext on a port that two services share where the policy of either forbids it", () => {
    const policy = (mode: string) =>
      `apiVersion: heddle.dev/v1alpha1\nkind: PeerAuthentication\nmetadata: { name: headless, namespace: shop }\nspec: { targetRefs: [{ group: "", kind: Service, name: db-headless }], mode: ${mode} }\n`;
    const plainOf = (mode: string) => {
      const mesh = makeMesh(`${meshConfig("{ mtls: { mode: PERMISSIVE } }")}---\n${shop}---\n${policy(mode)}`);
      return listenerOf(given(mesh, "shop/db-0"), "inbound/shop/db/5432").defaultFilterChain?.name;
    };
    assert.equal(plainOf("STRICT"), undefined);
    // An exemption is the one service's own.
    assert.equal(plainOf("DISABLE"), "opaque");
  });

  it("is no endpoint of a port that it lacks", () => {
    const mesh = makeMesh(shop, [], (endpoint) =>
      endpoint.name === "web-1" ? { ...endpoint, lacks: ["http"] } : endpoint,
    );
    const resources = given(mesh, "shop/db-0");
    assert.deepEqual(resources.endpoints.get("outbound/shop/web/80")?.localities, []);
    assert.equal(resources.listeners.has("direct/shop/web/80"), false);
    assert.deepEqual(ledBy(given(mesh, "shop/web-1"), "inbound"), {});
  });

  it("uses the routes of a service for its address, and none for an instance's", () => {
    const resources = given(makeMesh(shop), "shop/web-1");
    const [service] = resources.routes.get("outbound/shop/web/80")?.virtualHosts ?? [];
    assert.equal(service?.routes[0]?.name, "HTTPRoute shop/web rule 0");
    const network = listenerOf(resources, "direct/shop/web/80").filterChains[0]?.network;
    assert.ok(network?.kind === "http" && network.http.routes.kind === "inline");
    assert.equal(network.http.routes.table.virtualHosts[0]?.routes[0]?.name, "Service shop/web");
  });

  it("sends on what nobody knows, or refuses it where the mesh says so", () => {
    const mesh = makeMesh(shop);
    const capture = () => listenerOf(given(mesh, "shop/web-1"), "outbound/captured/ipv4");
    assert.deepEqual(clustersOf(capture().defaultFilterChain), ["outbound/passthrough"]);
    assert.equal(given(mesh, "shop/web-1").clusters.get("outbound/passthrough")?.discovery.kind, "originalDst");
    mesh.put(meshConfig("{ outboundPolicy: deny }"));
    assert.deepEqual(clustersOf(capture().defaultFilterChain), ["refused/outboundPolicy-deny"]);
    assert.equal(given(mesh, "shop/web-1").clusters.has("outbound/passthrough"), false);
    const http = capture().filterChains.at(-1)?.network;
    assert.ok(http?.kind === "http" && http.http.routes.kind === "inline");
    const action = http.http.routes.table.virtualHosts[0]?.routes[0]?.action;
    assert.equal(action?.kind === "direct" ? action.status : action?.kind, 502);
    assert.equal(
      given(mesh, "shop/web-1").routes.get("outbound/hosts/80")?.virtualHosts.at(-1)?.routes[0]?.action.kind,
      "direct",
    );
  });

  it("that no service leads to has its captures too, in each family that it has", () => {
    const resources = given(makeMesh(shop, [lonely]), "shop/job-1");
    assert.equal(listenerOf(resources, "outbound/captured/ipv4").address.address, "127.0.0.1");
    assert.equal(listenerOf(resources, "outbound/captured/ipv6").address.address, "::1");
    const inbound = listenerOf(resources, "inbound/captured");
    assert.deepEqual(inbound.address, { address: "::", port: 15_006 });
    assert.deepEqual(resources.clusters.get("inbound/captured")?.sourceAddresses, ["127.0.0.6", "::6"]);
    assert.equal(given(makeMesh(shop), "shop/web-1").listeners.has("outbound/captured/ipv6"), false);
  });

  it("reaches an instance of two families by either address, with the same identity expected", () => {
    const instance = { ...lonely, name: "web-1", addresses: ["10.244.0.1", "fd44::1"], serviceAccount: "web" };
    const resources = given(makeMesh(shop, [instance]), "shop/db-0");
    assert.deepEqual(ledBy(resources, "outbound")["[fd44::1]:8080"], ["direct/shop/web/80"]);
    assert.deepEqual(resources.clusters.get("direct/shop/web/80")?.discovery, {
      kind: "eds",
      serviceName: "direct/shop/web/80",
    });
    const endpoints = resources.endpoints.get("direct/shop/web/80")?.localities.flatMap((one) => one.endpoints);
    assert.deepEqual(
      endpoints?.map(({ address, mesh }) => [address, mesh.kind === "peer" && mesh.identity]),
      ["10.244.0.1", "fd44::1"].map((address) => [address, "spiffe://cluster.local/ns/shop/sa/web"]),
    );
    const chosen = resources.endpoints.get("outbound/shop/web/80")?.localities.flatMap((one) => one.endpoints);
    assert.equal(chosen?.length, 1);
  });

  it("is not led to its proxy's own ports by a service that names them", () => {
    const wrong = shop.replace("ports: { http: 8080 }", "ports: { http: 15006 }");
    assert.deepEqual(ledBy(given(makeMesh(wrong), "shop/web-1"), "inbound"), {});
  });

  it("takes nothing on ports of no service that its policy would not take elsewhere", () => {
    const strict = given(makeMesh(`${meshConfig("{ mtls: { mode: STRICT } }")}---\n${shop}`, [lonely]), "shop/job-1");
    const { filterChains, defaultFilterChain } = listenerOf(strict, "inbound/captured");
    const open = filterChains.filter(({ match }) => match.destinationPort === undefined);
    assert.deepEqual(
      open.map(({ tls }) => tls?.requireClientCertificate),
      [true],
    );
    assert.equal(defaultFilterChain, undefined);
    for (const port of [15_001, 15_006]) {
      const chain = filterChains.find(({ match }) => match.destinationPort === port);
      assert.deepEqual(clustersOf(chain), ["refused/port-of-the-proxy"]);
    }
  });
});

describe("a pod's port that is in no service", () => {
  const pod = (index: number, change: Partial<RegistryWorkload> = {}): RegistryWorkload => ({
    ...lonely,
    name: `job-${index}`,
    addresses: [`10.${250 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
    ...change,
  });
  const podsOf = ({ listeners }: ProxyResources) =>
    [...listeners.values()].filter(({ name }) => name.startsWith("pods/shop/job"));
  const ledTo = (listeners: readonly Listener[]) =>
    listeners.flatMap(({ address, additionalAddresses = [] }) => [address, ...additionalAddresses]).map(formatAddress);
  const withPassed = (text: string) => ({
    sidecar: {
      ...lonely.sidecar,
      metricsPort: 15_020,
      capture: { inboundPort: 15_006, outboundPort: 15_001, passedPorts: parsePorts(text) },
    },
  });

  it("is called by mutual TLS: the pod's proxy must prove its identity", () => {
    const resources = given(makeMesh(shop, [pod(1)]), "shop/web-1");
    const cluster = resources.clusters.get("pods/shop/job");
    const identity = "spiffe://cluster.local/ns/shop/sa/job";
    assert.deepEqual(cluster?.discovery, { kind: "originalDst", identity });
    assert.equal(cluster.tls?.sni, "outbound_.0_._.job.shop");
    assert.deepEqual(
      cluster.tls.validation?.subjectAltNames.map(({ matcher }) => matcher.kind === "exact" && matcher.value),
      [identity],
    );
    const [listener] = podsOf(resources);
    assert.deepEqual(clustersOf(listener?.defaultFilterChain), ["pods/shop/job"]);
  });

  it("is a stranger's where the pod takes no mutual TLS, and for an Envoy, which has no certificate of ours", () => {
    const off = `apiVersion: heddle.dev/v1alpha1
kind: PeerAuthentication
metadata: { name: off, namespace: shop }
spec: { mode: DISABLE, selector: { matchLabels: { app: old } } }
`;
    const mesh = makeMesh(`${off}---\n${shop}`, [pod(1, { labels: { app: "old" } }), pod(2)]);
    assert.deepEqual(ledTo(podsOf(given(mesh, "shop/web-1"))), ["10.250.0.2:0"]);
    const envoy = mesh.source.resourcesFor(nodeOf("shop/web-1"), "envoy") ?? assert.fail("nothing");
    assert.deepEqual(podsOf(envoy), []);
  });

  it("is called past the proxy where the packet filter leaves it alone, as the proxy's own ports are", () => {
    const mesh = makeMesh(shop, [pod(1, withPassed("9000,9002-9003")), pod(2, withPassed("9000,9002-9003")), pod(3)]);
    const [one, other] = podsOf(given(mesh, "shop/web-1"));
    assert.deepEqual(ledTo(one === undefined ? [] : [one]), ["10.250.0.1:0", "10.250.0.2:0"]);
    const past = one?.filterChains.filter(({ match }) => match.destinationPort !== undefined) ?? [];
    assert.deepEqual(
      past.map(({ match }) => match.destinationPort),
      [9000, 9002, 9003, 15_001, 15_006, 15_020],
    );
    assert.ok(past.every((chain) => clustersOf(chain).join() === "outbound/passthrough"));
    assert.deepEqual(ledTo(other === undefined ? [] : [other]), ["10.250.0.3:0"]);
  });

  it("is one of those that the packet filter takes, where it leaves most of them alone", () => {
    const mesh = makeMesh(shop, [pod(1, withPassed("1-7999,8002-65535"))]);
    assert.deepEqual(ledTo(podsOf(given(mesh, "shop/web-1"))), ["10.250.0.1:8000", "10.250.0.1:8001"]);
  });

  it("costs little in a mesh of 2,000 pods: what changes with one of them has a few dozen addresses", () => {
    const pods = Array.from({ length: 2000 }, (_, index) => pod(index));
    const before = podsOf(given(makeMesh(shop, pods), "shop/web-1"));
    assert.equal(ledTo(before).length, 2000);
    assert.ok(before.every(({ additionalAddresses = [] }) => additionalAddresses.length < 64));
    const without = new Set(
      podsOf(given(makeMesh(shop, pods.slice(1)), "shop/web-1")).map((one) => JSON.stringify(one)),
    );
    assert.equal(before.filter((one) => !without.has(JSON.stringify(one))).length, 1);
  });
});

describe("a service's port that the packet filter of its pods leaves alone", () => {
  it("is called in plaintext: behind it is no proxy", () => {
    const sidecar = {
      ...lonely.sidecar,
      capture: { inboundPort: 15_006, outboundPort: 15_001, passedPorts: parsePorts("9000") },
    };
    const endpoint: RegistryEndpoint = {
      name: "job-1",
      address: "10.244.0.9",
      ports: {},
      labels: {},
      weight: 1,
      health: "unknown",
      serviceAccount: "job",
      sidecar,
      isSuspect: false,
    };
    const http = { name: "http", port: 80, protocol: "HTTP" } as const;
    assert.equal(meshPortOf(endpoint, http), 80);
    assert.equal(meshPortOf({ ...endpoint, ports: { http: 9000 } }, http), undefined);
  });
});

describe("a change", () => {
  const many = Array.from(
    { length: 40 },
    (_, index) => `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: s${index}, namespace: shop, annotations: { test/addresses: "10.97.0.${index + 1}", test/capture: "" } }
spec:
  ports: [{ name: http, port: 80 }]
  endpoints: [{ name: s${index}-1, address: 10.245.0.${index + 1}, sidecar: {} }]
`,
  );

  it("of one service makes that one's resources anew, and all others stay the same objects", () => {
    const mesh = makeMesh(many.join("---\n"));
    const before = given(mesh, "shop/s0-1");
    const count = mesh.source.translatedCount;
    mesh.put((many[7] ?? "").replace("10.245.0.8,", "10.245.1.8,"));
    const after = given(mesh, "shop/s0-1");
    assert.ok(mesh.source.translatedCount - count < 12, `${mesh.source.translatedCount - count} parts`);
    const changed = [...after.listeners].filter(([name, listener]) => before.listeners.get(name) !== listener);
    assert.deepEqual(
      changed.map(([name]) => name),
      ["direct/shop/s7/80", "pods/shop/default/0"],
    );
    assert.equal(after.routes, before.routes);
    assert.equal(after.clusters, before.clusters);
  });

  it("is translated once for all pods of a namespace", () => {
    const mesh = makeMesh(many.join("---\n"));
    const [one, two] = [given(mesh, "shop/s0-1"), given(mesh, "shop/s1-1")];
    assert.equal(one.routes.get("outbound/shop/s3/80"), two.routes.get("outbound/shop/s3/80"));
    assert.equal(one.clusters.get("direct/shop/s3/80"), two.clusters.get("direct/shop/s3/80"));
  });
});
