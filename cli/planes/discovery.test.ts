// Both planes' discovery, over real gRPC on loopback.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test, type TestContext } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Cluster } from "#config/model/cluster.ts";
import { Cluster_DiscoveryType, ClusterSchema } from "#config/xds/gen/envoy/config/cluster/v3/cluster_pb.ts";
import { decodeResource } from "#config/xds/resource.ts";
import { CLUSTER_TYPE_URL } from "#config/xds/type-urls.ts";
import { makeMeshAdmit } from "#control-plane/discovery/admit-mesh-peer.ts";
import { admitAnybody, DiscoveryServer } from "#control-plane/discovery/discovery-server.ts";
import {
  makeAssignment,
  makeCluster,
  makeListener,
  makeResources,
  makeRouteTable,
  makeService,
  TestSource,
} from "#control-plane/discovery/testing/resources.ts";
import { CertificateAuthority } from "#control-plane/identity/authority.ts";
import { parseSigningRequest } from "#control-plane/identity/certificates.ts";
import { startPlainServer, startSecureServer, type RunningServer } from "#control-plane/identity/secure-server.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { WatchedValue } from "#lib/watched.ts";
import { makeGrpcAdsTransport, type ChannelIdentity } from "#proxy/discovery/ads-transport.ts";
import type { ApplyError, DiscoveredConfig } from "#proxy/discovery/config.ts";
import { DiscoveryClient, type DiscoveryClientOptions } from "#proxy/discovery/discovery-client.ts";
import { makeKeyAndRequest } from "#proxy/identity/certificate-request.ts";

const ID = "spiffe://mesh.local/ns/shop/sa/reviews";
const folders: string[] = [];

function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "heddle-discovery-"));
  folders.push(folder);
  return folder;
}

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface Plane {
  readonly source: TestSource;
  readonly server: DiscoveryServer;
  readonly running: RunningServer;
}

async function startPlane(context: TestContext, source: TestSource, port = 0): Promise<Plane> {
  const server = new DiscoveryServer({ source, clock: systemClock, log: silentLog, coalesceMs: 1 });
  const running = await startPlainServer({ address: "127.0.0.1", port }, (grpc) => server.register(grpc, admitAnybody));
  context.after(async () => {
    server.close();
    await running.close(0);
  });
  return { source, server, running };
}

const port = (config: DiscoveredConfig | undefined): number | undefined =>
  config?.assignments.get("c")?.localities[0]?.endpoints[0]?.port;

/** The static cluster of a bootstrap that holds the control plane's address. */
function makeAdsCluster(toPort: number, tls?: Cluster["tls"]): Cluster {
  const message = create(ClusterSchema, {
    name: "heddle-xds",
    connectTimeout: { seconds: 1n },
    clusterDiscoveryType: { case: "type", value: Cluster_DiscoveryType.STATIC },
    loadAssignment: {
      clusterName: "heddle-xds",
      endpoints: [
        {
          lbEndpoints: [
            {
              hostIdentifier: {
                case: "endpoint",
                value: {
                  address: {
                    address: {
                      case: "socketAddress",
                      value: { address: "127.0.0.1", portSpecifier: { case: "portValue", value: toPort } },
                    },
                  },
                },
              },
            },
          ],
        },
      ],
    },
  });
  const resource = decodeResource(CLUSTER_TYPE_URL, toBinary(ClusterSchema, message), { knownFilters: new Set() });
  assert.ok(resource.kind === "cluster");
  return { ...resource.model, tls };
}

interface Proxy {
  readonly client: DiscoveryClient;
  /** Every configuration that was applied, in order. */
  readonly applied: DiscoveredConfig[];
}

interface ProxyOptions extends Partial<
  Pick<DiscoveryClientOptions, "watchedSecrets" | "validate" | "apply" | "stateDir" | "node">
> {
  readonly identity?: WatchedValue<ChannelIdentity | undefined>;
  readonly tls?: Cluster["tls"];
}

function startProxy(context: TestContext, toPort: number, options: ProxyOptions = {}): Proxy {
  const applied: DiscoveredConfig[] = [];
  const apply = async (config: DiscoveredConfig): Promise<readonly ApplyError[]> => {
    applied.push(config);
    return options.apply?.(config) ?? [];
  };
  const client = new DiscoveryClient({
    node: options.node ?? { id: "shop/reviews-0", cluster: "reviews", userAgentName: "heddle" },
    listeners: true,
    clusters: true,
    decode: { knownFilters: new Set() },
    validate: options.validate ?? (() => undefined),
    ownSecrets: new Set(["default", "ROOTCA"]),
    watchedSecrets: options.watchedSecrets ?? new Set(),
    transport: makeGrpcAdsTransport({
      cluster: makeAdsCluster(toPort, options.tls),
      identity: options.identity ?? new WatchedValue<ChannelIdentity | undefined>(undefined),
      certificateName: "default",
      bundleName: "ROOTCA",
    }),
    apply,
    backoff: { minMs: 10, maxMs: 50 },
    stateDir: options.stateDir,
    clock: systemClock,
    random: makeSeededRandom(1),
    log: silentLog,
  });
  context.after(() => client.close());
  client.start();
  return { client, applied };
}

function nodeOf(serviceAccount: string): DiscoveryClientOptions["node"] {
  return {
    id: `shop/${serviceAccount}-0`,
    cluster: serviceAccount,
    userAgentName: "heddle",
    metadata: { namespace: "shop", serviceAccount },
  };
}

/** Waits for something that the other side makes true. */
async function until(isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!isTrue()) {
    assert.ok(Date.now() < deadline, `never became true: ${isTrue.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test("a proxy is given one whole configuration, and its receipt says so", async (context) => {
  const { server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { client, applied } = startProxy(context, running.port);
  await until(() => server.receipt("m1").applied === 1);
  assert.equal(applied.length, 1);
  const config = client.config.current;
  assert.deepEqual(
    [config?.version, port(config), [...(config?.listeners.keys() ?? [])], [...(config?.routes.keys() ?? [])]],
    ["m1", 8080, ["l"], ["r"]],
  );
  const [status] = server.proxies();
  assert.deepEqual([status?.id, status?.connected, status?.applied?.version], ["shop/reviews-0", true, "m1"]);
});

test("a receipt comes only when the proxy has applied, not when it has received", async (context) => {
  const { source, server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const gate = Promise.withResolvers<readonly ApplyError[]>();
  const { applied } = startProxy(context, running.port, {
    apply: async (config) => (config.version === "m2" ? gate.promise : []),
  });
  await until(() => server.receipt("m1").applied === 1);
  source.set(makeService("m2", 9090));
  await until(() => applied.length === 2);
  const { applied: early, total } = server.receipt("m2");
  assert.deepEqual([early, total], [0, 1]);
  gate.resolve([]);
  await until(() => server.receipt("m2").applied === 1);
});

test("a new service appears in one step: never a listener without its route and cluster", async (context) => {
  const { source, server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { applied } = startProxy(context, running.port);
  await until(() => server.receipt("m1").applied === 1);
  source.set(
    makeResources("m2", {
      listeners: [makeListener("l", 10_000, "r"), makeListener("m", 10_001, "s")],
      routes: [makeRouteTable("r", "c"), makeRouteTable("s", "d")],
      clusters: [makeCluster("c"), makeCluster("d")],
      endpoints: [makeAssignment("c", 8080), makeAssignment("d", 8081)],
    }),
  );
  await until(() => server.receipt("m2").applied === 1);
  for (const config of applied) {
    for (const cluster of config.clusters.keys()) assert.ok(config.assignments.has(cluster));
    if (config.listeners.has("m")) assert.ok(config.routes.has("s") && config.clusters.has("d"));
  }
  assert.ok(applied.at(-1)?.listeners.has("m"));
});

test("what does not compile is refused with its reason, shown, and the good beside it is applied", async (context) => {
  const { source, server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { client } = startProxy(context, running.port, {
    validate: (resource) =>
      resource.kind === "cluster" && resource.model.connectTimeoutMs === 66_000 ? "66 is unlucky" : undefined,
  });
  await until(() => server.receipt("m1").applied === 1);
  const lists = {
    listeners: [makeListener("l", 10_000, "r")],
    routes: [makeRouteTable("r", "c")],
    endpoints: [makeAssignment("c", 8080), makeAssignment("d", 8081)],
  };
  source.set(makeResources("m2", { ...lists, clusters: [makeCluster("c", 66), makeCluster("d")] }));
  await until(() => server.proxies()[0]?.rejections.length === 1 && client.config.current?.clusters.has("d") === true);
  const rejection = server.proxies()[0]?.rejections[0];
  assert.equal(rejection?.name, "c");
  assert.match(rejection?.reason ?? "", /66 is unlucky/);
  assert.equal(client.config.current?.clusters.get("c")?.connectTimeoutMs, 1000);
  assert.equal(server.receipt("m2").applied, 0);
  source.set(makeResources("m3", { ...lists, clusters: [makeCluster("c", 7), makeCluster("d")] }));
  await until(() => server.receipt("m3").applied === 1);
  assert.equal(client.config.current?.clusters.get("c")?.connectTimeoutMs, 7000);
  assert.deepEqual(server.proxies()[0]?.rejections, []);
});

test("what a worker could not apply is refused too, and put back", async (context) => {
  const { source, server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { client } = startProxy(context, running.port, {
    apply: async (config) =>
      config.listeners.get("l")?.address.port === 1 ? [{ kind: "listener", name: "l", reason: "port is taken" }] : [],
  });
  await until(() => server.receipt("m1").applied === 1);
  source.set(
    makeResources("m2", {
      listeners: [makeListener("l", 1, "r")],
      routes: [makeRouteTable("r", "c")],
      clusters: [makeCluster("c")],
      endpoints: [makeAssignment("c", 8080)],
    }),
  );
  await until(
    () => client.config.current?.listeners.get("l")?.address.port === 10_000 && client.status.refused.length > 0,
  );
  await until(() => server.proxies()[0]?.rejections[0]?.reason.includes("port is taken") === true);
});

test("when applying fails as a whole everything is refused, and it is tried again by itself", async (context) => {
  const { server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  let tries = 0;
  const { client } = startProxy(context, running.port, {
    apply: async () => {
      if (++tries === 1) throw new Error("no worker");
      return [];
    },
  });
  await until(() => (server.proxies()[0]?.rejections.length ?? 0) > 0);
  assert.match(server.proxies()[0]?.rejections[0]?.reason ?? "", /no worker/);
  await until(() => client.config.current !== undefined);
});

test("the control plane goes and comes back: the proxy keeps what it has, and is sent differences alone", async (context) => {
  const first = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { client, applied } = startProxy(context, first.running.port);
  await until(() => first.server.receipt("m1").applied === 1);
  first.server.close();
  await first.running.close(0);
  await until(() => !client.status.connected);
  assert.equal(port(client.config.current), 8080);
  const second = await startPlane(context, new TestSource(makeService("m1", 8080)), first.running.port);
  await until(() => second.server.receipt("m1").applied === 1);
  assert.equal(applied.length, 1);
  const before = client.config.current;
  second.source.set(makeService("m2", 9090));
  await until(() => second.server.receipt("m2").applied === 1);
  assert.equal(port(client.config.current), 9090);
  assert.equal(client.config.current?.listeners.get("l"), before?.listeners.get("l"));
});

test("a proxy restarts with what it had, without a control plane; a damaged file is ignored", async (context) => {
  const plane = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const stateDir = makeFolder();
  const first = startProxy(context, plane.running.port, { stateDir });
  await until(() => plane.server.receipt("m1").applied === 1);
  first.client.close();
  plane.server.close();
  await plane.running.close(0);
  const second = startProxy(context, plane.running.port, { stateDir });
  await until(() => second.client.config.current !== undefined);
  const config = second.client.config.current;
  assert.deepEqual([config?.origin, config?.version, port(config)], ["stored", "m1", 8080]);
  const file = path.join(stateDir, "configuration.json");
  writeFileSync(file, readFileSync(file, "utf8").replace("127", "128").slice(0, -9));
  const third = startProxy(context, plane.running.port, { stateDir });
  assert.deepEqual([third.client.config.current, third.applied], [undefined, []]);
});

test("a node that is in no configuration is told so, and let in when it is", async (context) => {
  const source = new TestSource(undefined);
  const { server, running } = await startPlane(context, source);
  const { client } = startProxy(context, running.port);
  await until(() => client.status.lastError !== undefined);
  assert.match(client.status.lastError ?? "", /not in the mesh's configuration/);
  source.set(makeService("m1", 8080));
  await until(() => server.receipt("m1").applied === 1);
});

test("the mesh's roots come to a proxy that watches them when they change, and nobody waits where there are none", async (context) => {
  const { source, server, running } = await startPlane(context, new TestSource(makeService("m1", 8080)));
  const { client } = startProxy(context, running.port, { watchedSecrets: new Set(["ROOTCA"]) });
  await until(() => server.receipt("m1").applied === 1);
  for (const bundlePem of ["one", "one and two"]) {
    const roots = { kind: "validation", name: "ROOTCA", bundlePem } as const;
    source.set({ ...makeService("m1", 8080), secrets: new Map([["ROOTCA", roots]]) });
    await until(() => JSON.stringify(client.config.current?.secrets.get("ROOTCA")) === JSON.stringify(roots));
  }
});

test("a slow proxy gets the newest in the end and holds nobody up", async (context) => {
  const { source, running } = await startPlane(context, new TestSource(makeService("m0", 8000)));
  const gate = Promise.withResolvers<void>();
  const slow = startProxy(context, running.port, {
    node: { id: "slow", cluster: "x", userAgentName: "heddle" },
    apply: async () => gate.promise.then(() => []),
  });
  const quick = startProxy(context, running.port, { node: { id: "quick", cluster: "x", userAgentName: "heddle" } });
  await until(() => quick.client.config.current?.version === "m0" && slow.applied.length === 1);
  for (let edit = 1; edit <= 20; edit++) {
    source.set(makeService(`m${edit}`, 8000 + edit));
    await until(() => port(quick.client.config.current) === 8000 + edit);
  }
  assert.equal(slow.client.config.current, undefined);
  gate.resolve();
  await until(() => port(slow.client.config.current) === 8020);
  assert.ok(slow.applied.length <= 4, `${slow.applied.length} configurations for the slow one`);
});

test("over mutual TLS: only the node's own certificate is let in, and a renewed one takes a new channel", async (context) => {
  const source = new TestSource(makeService("m1", 8080));
  const authority = await CertificateAuthority.open({
    stateDir: makeFolder(),
    trustDomain: "mesh.local",
    clock: systemClock,
  });
  const server = new DiscoveryServer({ source, clock: systemClock, log: silentLog, coalesceMs: 1 });
  const running = await startSecureServer({
    address: { address: "127.0.0.1", port: 0 },
    authority,
    clock: systemClock,
    log: silentLog,
    register: (grpc) => server.register(grpc, makeMeshAdmit("mesh.local", systemClock)),
  });
  context.after(async () => {
    server.close();
    await running.close(0);
  });
  const makeIdentity = async (generation: number, pod?: string): Promise<ChannelIdentity> => {
    const { keyPem, csrPem } = makeKeyAndRequest(ID);
    const binding = pod === undefined ? undefined : { name: pod, uid: "0b5ab2c1-3c0f-4bd5-9f4e-0123456789ab" };
    const request = await parseSigningRequest(csrPem);
    const { chainPem, bundlePem } = await authority.signWorkload(request, ID, binding);
    return { certificate: { keyPem, chainPem }, bundlePem, generation };
  };
  const tls: Cluster["tls"] = {
    certificate: { kind: "sds", name: "default" },
    validation: {
      roots: { kind: "sds", name: "ROOTCA" },
      subjectAltNames: [{ type: "dns", matcher: { kind: "exact", value: "heddle-control-plane", ignoreCase: false } }],
      acceptUntrusted: false,
    },
    alpn: ["h2"],
    minVersion: undefined,
    maxVersion: undefined,
    cipherSuites: [],
    curves: [],
    sni: "heddle-control-plane",
    autoHostSni: false,
  };
  const identity = new WatchedValue<ChannelIdentity | undefined>(undefined);
  const own = startProxy(context, running.port, { identity, tls, node: nodeOf("reviews") });
  const pretender = startProxy(context, running.port, { identity, tls, node: nodeOf("payments") });
  assert.equal(own.client.status.lastError, undefined);
  identity.set(await makeIdentity(1));
  await until(() => server.receipt("m1").applied === 1 && pretender.client.status.lastError !== undefined);
  assert.match(pretender.client.status.lastError ?? "", /may not be node "shop\/payments-0"/);
  assert.equal(server.proxies()[0]?.identity, ID);
  const connectedMs = server.proxies()[0]?.sinceMs;
  await new Promise((resolve) => setTimeout(resolve, 2));
  identity.set(await makeIdentity(2));
  await until(() => server.proxies()[0]?.connected === true && server.proxies()[0]?.sinceMs !== connectedMs);
  source.set(makeService("m2", 9090));
  await until(() => server.receipt("m2").applied === 1);
  assert.equal(own.client.status.reconnects, 0);
  // Bound to another pod of the same account: the stream that is to replace the old one is refused.
  identity.set(await makeIdentity(3, "reviews-9"));
  await until(() => own.client.status.lastError !== undefined);
  assert.match(
    own.client.status.lastError ?? "",
    /certificate of pod "shop\/reviews-9" may not be node "shop\/reviews-0"/,
  );
  identity.set(await makeIdentity(4, "reviews-0"));
  await until(() => own.client.status.lastError === undefined && own.client.status.connected);
});
