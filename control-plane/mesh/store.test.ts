import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import type { RegistryEndpoint, RegistryService } from "../registry/registry.ts";
import { Derivation } from "./derivation.ts";
import { makeSnapshot } from "./snapshot.ts";
import { MeshStore } from "./store.ts";

function makeEndpoint(name: string, weight: number): RegistryEndpoint {
  const sidecar = {
    inbound: {},
    outbound: [],
    capture: undefined,
    httpProxyPort: undefined,
    adminPort: undefined,
    metricsPort: undefined,
  };
  const fixed = { address: "127.0.0.1", ports: {}, labels: {}, health: "unknown", serviceAccount: "a" } as const;
  return { ...fixed, name, weight, sidecar, isSuspect: false };
}

function makeService(name: string, weight: number): RegistryService {
  const ports = [{ name: "http", port: 80, protocol: "HTTP" as const }];
  return {
    namespace: "shop",
    name,
    hosts: [],
    addresses: [],
    ports,
    endpoints: [makeEndpoint(`${name}-1`, weight)],
    origin: "",
  };
}

function makeStore(): {
  store: MeshStore;
  clock: FakeClock;
  set: (weight: number) => void;
  complete: (is: boolean) => void;
} {
  const clock = new FakeClock();
  let services = new Map<string, RegistryService>();
  let isComplete = true;
  const store = new MeshStore(clock, {
    services: () => services,
    workloads: () => new Map(),
    resources: () => [],
    isComplete: () => isComplete,
  });
  return {
    store,
    clock,
    set: (weight) => (services = new Map([["shop/a", makeService("a", weight)]])),
    complete: (is) => (isComplete = is),
  };
}

function sequenceOf(store: MeshStore): number | undefined {
  return store.current?.sequence;
}

test("a change that may wait is made after 100 ms of quiet, one that may not at once", () => {
  const { store, clock, set } = makeStore();
  set(1);
  store.invalidate("soon");
  clock.advance(60);
  store.invalidate("soon");
  clock.advance(60);
  assert.equal(sequenceOf(store), undefined);
  clock.advance(40);
  assert.equal(sequenceOf(store), 1);
  set(2);
  store.invalidate("soon");
  store.invalidate("now");
  assert.equal(sequenceOf(store), 2);
  assert.equal(clock.pendingTimers, 0);
});

test("changes that never end are made after 10 s", () => {
  const { store, clock, set } = makeStore();
  set(1);
  for (let waited = 0; waited < 9_950; waited += 50) {
    store.invalidate("soon");
    clock.advance(50);
  }
  assert.equal(sequenceOf(store), undefined);
  store.invalidate("soon");
  clock.advance(50);
  assert.equal(sequenceOf(store), 1);
});

test("nothing is made while a source has told nothing, and an equal mesh is not told on", () => {
  const { store, set, complete } = makeStore();
  let told = 0;
  store.subscribe(() => told++);
  complete(false);
  set(1);
  store.rebuild();
  assert.equal(sequenceOf(store), undefined);
  complete(true);
  store.rebuild();
  set(1);
  store.rebuild();
  assert.equal(told, 1);
});

test("a snapshot shares the workloads of services that did not change", () => {
  const kept = makeService("kept", 1);
  const resources: never[] = [];
  const before = makeSnapshot(
    {
      services: new Map([
        ["shop/kept", kept],
        ["shop/a", makeService("a", 1)],
      ]),
      workloads: new Map(),
      resources,
    },
    undefined,
  );
  const after = makeSnapshot(
    {
      services: new Map([
        ["shop/kept", kept],
        ["shop/a", makeService("a", 2)],
      ]),
      workloads: new Map(),
      resources,
    },
    before,
  );
  assert.notEqual(after.version, before.version);
  assert.equal(after.tables.workloads.get("shop/kept-1"), before.tables.workloads.get("shop/kept-1"));
  assert.equal(after.tables.names.get("services"), before.tables.names.get("services"));
});

test("a derived value is made again when something it read changed, absent things included", () => {
  const derivation = new Derivation<readonly string[]>();
  const snapshotOf = (...names: readonly string[]) =>
    makeSnapshot(
      {
        services: new Map(names.map((name) => [`shop/${name}`, services.get(name) ?? makeService(name, 1)])),
        workloads: new Map(),
        resources: [],
      },
      undefined,
    );
  const services = new Map(["a", "b", "c"].map((name) => [name, makeService(name, 1)]));
  const read = (snapshot: ReturnType<typeof snapshotOf>): readonly string[] =>
    derivation.get("key", snapshot, (reader) =>
      ["a", "b"].filter((name) => reader.get("services", `shop/${name}`) !== undefined),
    );
  const first = read(snapshotOf("a"));
  assert.equal(read(snapshotOf("a", "c")), first);
  assert.equal(derivation.madeCount, 1);
  assert.deepEqual(read(snapshotOf("a", "b")), ["a", "b"]);
  assert.equal(derivation.madeCount, 2);
});

test("an instance that no service leads to is a workload, and one in services keeps their ports", () => {
  const sidecar = { inbound: {}, outbound: [], capture: { inboundPort: 15_006, outboundPort: 15_001 } } as const;
  const ports = { httpProxyPort: undefined, adminPort: undefined, metricsPort: undefined };
  const pod = {
    namespace: "shop",
    addresses: ["10.0.0.9", "fd00::9"],
    labels: { app: "job" },
    serviceAccount: "jobs",
    sidecar: { ...sidecar, ...ports },
  };
  const services = new Map([["shop/a", makeService("a", 1)]]);
  const names = ["job-1", "a-1"];
  const workloads = new Map(names.map((name) => [`shop/${name}`, { ...pod, name }]));
  const before = makeSnapshot({ services, workloads, resources: [] }, undefined);
  const alone = before.tables.workloads.get("shop/job-1");
  assert.deepEqual(alone?.inbound, []);
  assert.deepEqual(alone?.addresses, pod.addresses);
  assert.deepEqual(before.tables.workloads.get("shop/a-1")?.capture, sidecar.capture);
  assert.equal(before.tables.workloads.get("shop/a-1")?.inbound.length, 1);
  const after = makeSnapshot({ services, workloads: new Map([...workloads].slice(0, 1)), resources: [] }, before);
  assert.equal(after.tables.workloads.get("shop/job-1"), alone);
  assert.equal(after.tables.workloads.get("shop/a-1")?.capture, undefined);
});

test("the trust domain of the installation holds over the MeshConfig, and moves no translation while both stay", () => {
  const input = { services: new Map(), workloads: new Map(), resources: [], trustDomain: "mesh.example" };
  const before = makeSnapshot(input, undefined);
  assert.equal(before.tables.meshConfig.get("mesh")?.trustDomain, "mesh.example");
  const services = new Map([["shop/a", makeService("a", 1)]]);
  const after = makeSnapshot({ ...input, services }, before);
  assert.notEqual(after, before);
  assert.equal(after.tables.meshConfig.get("mesh"), before.tables.meshConfig.get("mesh"));
});

test("an instance that is not ready serves its service, and only itself is told", () => {
  const service = { ...makeService("a", 1), endpoints: [], pending: [makeEndpoint("a-1", 1)] };
  const input = { services: new Map([["shop/a", service]]), workloads: new Map(), resources: [] };
  const { tables } = makeSnapshot(input, undefined);
  assert.deepEqual(
    tables.workloads.get("shop/a-1")?.inbound.map(({ appPort }) => appPort),
    [80],
  );
  assert.deepEqual(tables.services.get("shop/a")?.endpoints, []);
});
