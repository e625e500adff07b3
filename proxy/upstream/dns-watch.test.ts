import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { ClusterTable } from "./cluster-set.ts";
import { assignmentOf, clusterOf, contextOf, endpointOf } from "./testing/cluster-of.ts";
import { FakeConnector } from "./testing/fake-connector.ts";

/** Lookups answer some microtasks later. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

function setUp(kind: "strictDns" | "logicalDns") {
  const clock = new FakeClock();
  const zone = new Map<string, readonly string[]>();
  const assignment = assignmentOf("db", [endpointOf("db.shop", 5432), endpointOf("192.0.2.1", 5432)]);
  const cluster = clusterOf("db", { discovery: { kind, assignment, refreshMs: 5000 } });
  const lookup = async (name: string): Promise<readonly string[]> => {
    const found = zone.get(name);
    if (found === undefined) throw new Error(`ENOTFOUND ${name}`);
    return found;
  };
  const table = new ClusterTable(contextOf(clock, new FakeConnector(), { lookup }));
  const start = (): void => table.apply([cluster], new Map());
  const refresh = async (): Promise<void> => {
    clock.advance(5000);
    await settle();
  };
  const addresses = (): string[] => (table.snapshot()[0]?.endpoints ?? []).map(({ address }) => address).sort();
  return { clock, zone, table, cluster, start, refresh, addresses };
}

test("every address of a name is an endpoint, and each refresh may change them", async () => {
  const { zone, start, refresh, addresses } = setUp("strictDns");
  zone.set("db.shop", ["10.0.0.1", "fd00::1"]);
  start();
  assert.deepEqual(addresses(), ["192.0.2.1:5432"]);
  await settle();
  assert.deepEqual(addresses(), ["10.0.0.1:5432", "192.0.2.1:5432", "[fd00::1]:5432"]);
  zone.set("db.shop", ["10.0.0.2"]);
  await refresh();
  assert.deepEqual(addresses(), ["10.0.0.2:5432", "192.0.2.1:5432"]);
});

test("a name that fails keeps its last addresses", async () => {
  const { zone, start, refresh, addresses } = setUp("strictDns");
  zone.set("db.shop", ["10.0.0.1"]);
  start();
  await settle();
  zone.clear();
  await refresh();
  assert.deepEqual(addresses(), ["10.0.0.1:5432", "192.0.2.1:5432"]);
  zone.set("db.shop", []);
  await refresh();
  assert.deepEqual(addresses(), ["10.0.0.1:5432", "192.0.2.1:5432"]);
});

test("a logical name is its first address alone", async () => {
  const { zone, start, addresses } = setUp("logicalDns");
  zone.set("db.shop", ["10.0.0.7", "10.0.0.1"]);
  start();
  await settle();
  assert.deepEqual(addresses(), ["10.0.0.7:5432", "192.0.2.1:5432"]);
});

test("an unrelated configuration keeps the addresses, and a removed cluster stops looking", async () => {
  const { clock, zone, table, cluster, start, addresses } = setUp("strictDns");
  zone.set("db.shop", ["10.0.0.1"]);
  start();
  await settle();
  table.apply([structuredClone(cluster), clusterOf("other")], new Map());
  assert.deepEqual(addresses(), ["10.0.0.1:5432", "192.0.2.1:5432"]);
  table.apply([], new Map());
  assert.equal(clock.pendingTimers, 0);
});
