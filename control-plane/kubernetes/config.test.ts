import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPlace } from "#config/load/config-error.ts";
import { kinds } from "#config/schema/kinds.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { RecordingSink, until } from "../registry/testing/suite.ts";
import { KubernetesConfig } from "./config.ts";
import type { InformerTimes } from "./informer.ts";
import { TestApiServer } from "./testing/api-server.ts";

const times: InformerTimes = { retryMs: 5, longestRetryMs: 20, absentMs: 10, silenceMs: 5000, watchMs: 60_000 };
const collections = new Map<string, string>(
  kinds.map(({ kind, group, version, plural }) => [kind, `/apis/${group}/${version}/${plural}`]),
);
const routes = collections.get("HTTPRoute") ?? "";
const entries = collections.get("ServiceEntry") ?? "";

interface Parts {
  readonly server: TestApiServer;
  readonly config: KubernetesConfig;
  readonly sink: RecordingSink;
}

async function withConfig(installed: readonly string[], body: (parts: Parts) => Promise<void>): Promise<void> {
  const server = await TestApiServer.start(...installed);
  const client = server.client;
  const config = new KubernetesConfig({ client, clock: systemClock, random: systemRandom, log: silentLog, times });
  const sink = new RecordingSink();
  const watch = config.watch(sink);
  try {
    await body({ server, config, sink });
  } finally {
    await watch.close();
    client.close();
    await server.down();
  }
}

const route = (port: number, name = "cart") => ({
  metadata: { namespace: "shop", name, labels: {}, annotations: {} },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "cart", port: 80 }],
    rules: [{ backendRefs: [{ name: "cart", port }] }],
  },
});

test(
  "objects become resources that carry their age and generation, and say where they are from",
  { timeout: 10_000 },
  async () => {
    await withConfig([...collections.values()], async ({ server, config }) => {
      server.put(routes, route(80));
      await until(() => config.report.resources.length === 1);
      const [resource] = config.report.resources;
      assert.ok(resource !== undefined);
      assert.equal(formatPlace(resource.source), "kubernetes HTTPRoute shop/cart");
      assert.equal(resource.metadata.generation, 1);
      assert.match(resource.metadata.creationTimestamp ?? "", /^20/);
    });
  },
);

test(
  "a bad version of an object is refused with its message, its last good version stays",
  { timeout: 10_000 },
  async () => {
    await withConfig([...collections.values()], async ({ server, config }) => {
      server.put(routes, route(80));
      await until(() => config.report.resources.length === 1);
      server.put(routes, { ...route(81), spec: { rules: "none" } });
      await until(() => config.report.errors.length === 1);
      assert.equal(config.report.resources[0]?.metadata.generation, 1);
      assert.match(config.report.errors[0]?.format() ?? "", /^kubernetes HTTPRoute shop\/cart: error: .*spec\.rules/);
      server.put(routes, route(82));
      await until(() => config.report.errors.length === 0);
      assert.equal(config.report.resources[0]?.metadata.generation, 3);
      // Made again under its name it is another object, and what the first one said is nothing to it.
      server.remove(routes, "shop", "cart");
      server.put(routes, { ...route(81), spec: { rules: "none" } });
      await until(() => config.report.errors.length === 1);
      assert.equal(config.report.resources.length, 0);
    });
  },
);

test("kinds that are not installed are awaited, and keep nothing else waiting", { timeout: 10_000 }, async () => {
  await withConfig([entries], async ({ server, config, sink }) => {
    server.put(entries, {
      metadata: { namespace: "shop", name: "db" },
      spec: { ports: [{ name: "tcp", port: 5432 }], endpoints: [{ name: "db-1", address: "192.0.2.1" }] },
    });
    await until(() => sink.services.size === 1);
    assert.equal(sink.services.get("shop/db")?.origin, "kubernetes ServiceEntry shop/db");
    server.put(routes, route(80));
    await until(() => config.report.resources.length === 2);
  });
});

test("a status that somebody writes changes nothing of what is in force", { timeout: 10_000 }, async () => {
  await withConfig([...collections.values()], async ({ server, config }) => {
    server.put(routes, route(80));
    await until(() => config.report.resources.length === 1);
    const { report } = config;
    let seen = 0;
    config.subscribeObjects(() => seen++);
    server.put(routes, { ...route(80), status: { parents: [] } });
    await until(() => seen > 0);
    assert.equal(config.report, report);
  });
});
