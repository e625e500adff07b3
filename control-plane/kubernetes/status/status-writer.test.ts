import assert from "node:assert/strict";
import { test } from "node:test";
import { isObject } from "#config/load/values.ts";
import { kinds } from "#config/schema/kinds.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { WatchedValue } from "#lib/watched.ts";
import type { ProxyStatus } from "../../discovery/proxy-record.ts";
import { MeshStore } from "../../mesh/store.ts";
import { ServiceCatalog } from "../../registry/catalog.ts";
import { KubernetesRegistry } from "../../registry/kubernetes/kubernetes-registry.ts";
import { clusterObjects } from "../../registry/kubernetes/testing/cluster.ts";
import { until } from "../../registry/testing/suite.ts";
import { KubernetesConfig } from "../config.ts";
import type { InformerTimes } from "../informer.ts";
import { objectsOf, fieldsOf } from "../objects.ts";
import { TestApiServer } from "../testing/api-server.ts";
import { StatusWriter } from "./status-writer.ts";

const times: InformerTimes = { retryMs: 5, longestRetryMs: 20, absentMs: 10, silenceMs: 5000, watchMs: 60_000 };
const routes = "/apis/gateway.networking.k8s.io/v1/httproutes";
const policies = "/apis/heddle.dev/v1alpha1/peerauthentications";

interface Parts {
  readonly server: TestApiServer;
  readonly proxies: ProxyStatus[];
  readonly store: MeshStore;
  readonly isLeader: WatchedValue<boolean>;
}

async function withWriter(body: (parts: Parts) => Promise<void>): Promise<void> {
  const all = kinds.map(({ group, version, plural }) => `/apis/${group}/${version}/${plural}`);
  const core = ["/api/v1/services", "/api/v1/pods", "/api/v1/nodes", "/apis/discovery.k8s.io/v1/endpointslices"];
  const server = await TestApiServer.start(...all, ...core);
  const client = server.client;
  const common = { client, clock: systemClock, random: systemRandom, log: silentLog, times };
  const config = new KubernetesConfig(common);
  const catalog = new ServiceCatalog(systemClock, silentLog);
  const store = new MeshStore(systemClock, {
    services: () => catalog.services,
    workloads: () => catalog.workloads,
    resources: () => config.report.resources,
    isComplete: () => config.isLoaded && catalog.isComplete,
  });
  catalog.subscribe(() => store.invalidate("now"));
  config.subscribe(() => store.invalidate("now"));
  const isLeader = new WatchedValue(true);
  const proxies: ProxyStatus[] = [];
  const writer = new StatusWriter({
    client,
    clock: systemClock,
    log: silentLog,
    config,
    store,
    errors: () => config.report.errors,
    proxies: () => proxies,
    isLeader,
    times: { quietMs: 5, longestMs: 50, againMs: 5 },
  });
  catalog.add(config);
  catalog.add(new KubernetesRegistry(common));
  writer.start();
  try {
    await body({ server, proxies, store, isLeader });
  } finally {
    await writer.close();
    await catalog.close();
    store.close();
    client.close();
    await server.down();
  }
}

const route = (...ports: readonly number[]) => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { namespace: "shop", name: "cart", labels: {}, annotations: {} },
  spec: {
    parentRefs: ports.map((port) => ({ group: "", kind: "Service", name: "cart", port })),
    rules: [{ backendRefs: [{ name: "cart", port: 8080 }] }],
  },
});

/** `8080 Accepted=True@1 ...` for each parent. */
function summaryOf(server: TestApiServer): readonly string[] {
  const status = fieldsOf(server.get(routes, "shop", "cart")?.["status"]);
  return objectsOf(status["parents"]).map((parent) =>
    [String(fieldsOf(parent["parentRef"])["port"] ?? parent["controllerName"]), ...conditionsOf(parent)].join(" "),
  );
}

function conditionsOf(holder: unknown): readonly string[] {
  return objectsOf(isObject(holder) ? holder["conditions"] : undefined).map(
    ({ type, status, observedGeneration }) => `${String(type)}=${String(status)}@${String(observedGeneration)}`,
  );
}

/** As the server counts them: it has a status before the writer has its answer. */
function patchesOf(server: TestApiServer, collection: string): number {
  const [, base = "", plural = ""] = /^(.*)\/(\w+)$/.exec(collection) ?? [];
  return server.requests.filter((request) => request.startsWith(`PATCH ${base}/namespaces/shop/${plural}/`)).length;
}

function putCart(server: TestApiServer): void {
  for (const { collection, object } of clusterObjects({ namespace: "shop", name: "cart", weights: { "cart-1": 1 } }))
    server.put(collection, object);
}

test(
  "each parent of a route gets its conditions, written when they change and not otherwise",
  { timeout: 10_000 },
  async () => {
    await withWriter(async ({ server }) => {
      putCart(server);
      server.put(routes, route(8080, 81));
      const first = [
        "8080 Accepted=True@1 ResolvedRefs=True@1 Programmed=True@1",
        "81 Accepted=False@1 ResolvedRefs=True@1",
      ];
      await until(() => JSON.stringify(summaryOf(server)) === JSON.stringify(first));
      const before = patchesOf(server, routes);
      // A change of something else: whoever would write every time, would write now.
      server.put(policies, { metadata: { namespace: "shop", name: "strict" }, spec: { mode: "STRICT" } });
      await until(() => conditionsOf(server.get(policies, "shop", "strict")?.["status"]).includes("Accepted=True@1"));
      assert.equal(patchesOf(server, routes), before);
      server.put(routes, { ...route(8080), status: server.get(routes, "shop", "cart")?.["status"] });
      await until(() => summaryOf(server).join() === "8080 Accepted=True@2 ResolvedRefs=True@2 Programmed=True@2");
    });
  },
);

test("what others wrote meanwhile is neither lost nor overwritten", { timeout: 10_000 }, async () => {
  await withWriter(async ({ server }) => {
    putCart(server);
    const theirs = { parentRef: { name: "gateway" }, controllerName: "example.org/other", conditions: [] };
    server.put(routes, { ...route(8080), status: { parents: [theirs] } });
    await until(() => summaryOf(server).length === 2);
    assert.deepEqual(summaryOf(server)[0], "example.org/other");
  });
});

test(
  "a route is programmed when every proxy has taken the mesh in which it came, and stays so",
  { timeout: 10_000 },
  async () => {
    await withWriter(async ({ server, proxies, store }) => {
      putCart(server);
      await until(() => (store.current?.tables.services.size ?? 0) > 0);
      const proxy = (version: string): ProxyStatus => ({
        id: "shop/cart-1",
        cluster: "",
        agent: "heddle",
        dialect: "heddle",
        protocol: "delta",
        identity: undefined,
        connected: true,
        refusal: undefined,
        sinceMs: 0,
        applied: { version, atMs: 0 },
        kinds: [],
        rejections: [],
      });
      proxies.push(proxy("0-old"));
      server.put(routes, route(8080));
      await until(() => summaryOf(server).join().endsWith("Programmed=Unknown@1"));
      proxies[0] = proxy(store.current?.version ?? "");
      await until(() => summaryOf(server).join().endsWith("Programmed=True@1"));
      proxies.push(proxy("0-old"));
      server.put(policies, { metadata: { namespace: "shop", name: "strict" }, spec: { mode: "STRICT" } });
      await until(() => conditionsOf(server.get(policies, "shop", "strict")?.["status"]).includes("Accepted=True@1"));
      assert.match(summaryOf(server).join(), /Programmed=True@1$/);
    });
  },
);

test(
  "a version that is refused is told with its generation, beside the good one that stays",
  { timeout: 10_000 },
  async () => {
    await withWriter(async ({ server }) => {
      putCart(server);
      server.put(routes, route(8080));
      await until(() => summaryOf(server).join().includes("Programmed=True@1"));
      const { spec } = route(8080);
      server.put(routes, { ...route(8080), spec: { ...spec, hostnames: ["not a host"] } });
      await until(() => summaryOf(server).join() === "8080 Accepted=False@2");
      assert.match(JSON.stringify(server.get(routes, "shop", "cart")), /spec\.hostnames\[0\].*last good version/);
    });
  },
);

test("a follower writes nothing, until it leads", { timeout: 10_000 }, async () => {
  await withWriter(async ({ server, isLeader, store }) => {
    isLeader.set(false);
    putCart(server);
    server.put(routes, route(8080));
    await until(() => (store.current?.resources.length ?? 0) > 0);
    assert.deepEqual(
      server.requests.filter((request) => request.startsWith("PATCH")),
      [],
    );
    isLeader.set(true);
    await until(() => summaryOf(server).length === 1);
  });
});

test("a write that fails is tried again", { timeout: 10_000 }, async () => {
  await withWriter(async ({ server }) => {
    server.refuseWrites = 500;
    putCart(server);
    server.put(routes, route(8080));
    await until(() => server.requests.filter((request) => request.startsWith("PATCH")).length >= 3);
    server.refuseWrites = undefined;
    await until(() => summaryOf(server).length === 1);
  });
});
