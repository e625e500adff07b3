import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import type { InformerTimes } from "../../kubernetes/informer.ts";
import { TestApiServer } from "../../kubernetes/testing/api-server.ts";
import type { RegistryWorkload } from "../registry.ts";
import { RecordingSink, registrySuite, until } from "../testing/suite.ts";
import { KubernetesRegistry } from "./kubernetes-registry.ts";
import { clusterObjects } from "./testing/cluster.ts";

const collections = ["/api/v1/services", "/api/v1/pods", "/api/v1/nodes", "/apis/discovery.k8s.io/v1/endpointslices"];
const times: InformerTimes = { retryMs: 5, longestRetryMs: 20, absentMs: 10, silenceMs: 5000, watchMs: 60_000 };

registrySuite("kubernetes registry", async () => {
  const server = await TestApiServer.start(...collections);
  const clients: { close(): void }[] = [];
  return {
    makeRegistry() {
      const client = server.client;
      clients.push(client);
      return new KubernetesRegistry({ client, clock: systemClock, random: systemRandom, log: silentLog, times });
    },
    async put(service) {
      for (const { collection, object } of clusterObjects(service)) server.put(collection, object);
    },
    async remove(key) {
      const [namespace = "", name = ""] = key.split("/");
      server.remove("/api/v1/services", namespace, name);
    },
    breakSource: async () => server.down(),
    healSource: async () => server.up(),
    async close() {
      for (const client of clients) client.close();
      await server.down();
    },
  };
});

const sidecar = JSON.stringify({ version: "0.1.0", interception: "iptables", inboundPort: 15006, outboundPort: 15001 });

function pod(name: string, more: { readonly status?: unknown; readonly containers?: readonly string[] } = {}) {
  const { status = { podIP: "10.88.0.9" }, containers = ["app", "heddle-proxy"] } = more;
  return {
    metadata: { namespace: "shop", name, labels: {}, annotations: { "heddle.dev/sidecar": sidecar } },
    spec: { containers: containers.map((container) => ({ name: container })) },
    status,
  };
}

test("pods with a proxy are told of without any service, from their first address to their end", async () => {
  const server = await TestApiServer.start(...collections);
  const client = server.client;
  server.put("/api/v1/pods", pod("early", { status: { phase: "Pending" } }));
  server.put("/api/v1/pods", pod("copied", { containers: ["app"] }));
  server.put("/api/v1/pods", pod("starting", { status: { phase: "Pending", podIP: "10.88.0.9" } }));
  const told: string[] = [];
  const ids = new Set<string>();
  const note = (workloads: readonly RegistryWorkload[], removed: readonly string[]): void => {
    for (const { name } of workloads) ids.add(name);
    for (const id of removed) ids.delete(id.slice("shop/".length));
    told.push([...ids].toSorted().join(" "));
  };
  const registry = new KubernetesRegistry({ client, clock: systemClock, random: systemRandom, log: silentLog, times });
  const watch = registry.watch({
    replace: (_, workloads = []) => note(workloads, []),
    change: (_, __, workloads) => note(workloads?.changed ?? [], workloads?.removed ?? []),
    fail: () => undefined,
  });
  try {
    await until(() => told.at(-1) === "starting");
    server.put("/api/v1/pods", pod("early"));
    await until(() => told.at(-1) === "early starting");
    server.put("/api/v1/pods", pod("early", { status: { phase: "Succeeded", podIP: "10.88.0.9" } }));
    await until(() => told.at(-1) === "starting");
    server.remove("/api/v1/pods", "shop", "starting");
    await until(() => told.at(-1) === "");
    assert.ok(!told.some((names) => names.includes("copied")));
  } finally {
    await watch.close();
    client.close();
    await server.down();
  }
});

test("an endpoint waits for its pod: without it nobody knows whether it is called in plaintext", async () => {
  const server = await TestApiServer.start(...collections);
  const client = server.client;
  const objects = clusterObjects({ namespace: "shop", name: "a", weights: { "a-1": 1, "a-2": 1 } });
  const late = objects.find(({ object }) => object.metadata.name === "a-2");
  assert.ok(late !== undefined);
  for (const one of objects) if (one !== late) server.put(one.collection, one.object);
  const sink = new RecordingSink();
  const registry = new KubernetesRegistry({ client, clock: systemClock, random: systemRandom, log: silentLog, times });
  const watch = registry.watch(sink);
  try {
    await until(() => sink.summary[0] === "shop/a: a-1=1");
    server.put(late.collection, late.object);
    await until(() => sink.summary[0] === "shop/a: a-1=1 a-2=1");
  } finally {
    await watch.close();
    client.close();
    await server.down();
  }
});
