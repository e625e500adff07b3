import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLog } from "#lib/log.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { ServiceCatalog } from "./catalog.ts";
import type { RegistryService, RegistrySink } from "./registry.ts";

function service(count: number, from = 0): RegistryService {
  const endpoints = Array.from({ length: count }, (_, index) => ({
    name: `a-${index + from}`,
    address: "127.0.0.1",
    ports: {},
    labels: {},
    weight: 1,
    health: "unknown" as const,
    serviceAccount: "default",
    sidecar: undefined,
    isSuspect: false,
  }));
  return { namespace: "shop", name: "a", hosts: [], addresses: [], ports: [], endpoints, origin: "" };
}

function makeCatalog(guardsVanishing: boolean | "endpoints" = true): {
  catalog: ServiceCatalog;
  clock: FakeClock;
  sink: RegistrySink;
  count: () => number;
} {
  const clock = new FakeClock();
  const catalog = new ServiceCatalog(clock, silentLog);
  const sinks: RegistrySink[] = [];
  catalog.add({
    name: "test",
    guardsVanishing,
    watch(sink) {
      sinks.push(sink);
      return { close: async () => undefined };
    },
  });
  const [sink] = sinks;
  assert.ok(sink);
  return { catalog, clock, sink, count: () => catalog.services.get("shop/a")?.endpoints.length ?? 0 };
}

test("a few endpoints that vanish are gone at once", () => {
  const { sink, count } = makeCatalog();
  sink.replace([service(10)]);
  sink.replace([service(8)]);
  assert.equal(count(), 8);
});

test("a service that was removed on purpose is gone at once, its suspects too, where the registry says so", () => {
  const { sink, catalog, clock, count } = makeCatalog("endpoints");
  sink.replace([service(10)]);
  sink.change([service(2)], []);
  assert.equal(count(), 10);
  sink.change([], ["shop/a"]);
  assert.equal(catalog.services.size, 0);
  clock.advance(100_000);
  assert.equal(catalog.services.size, 0);
});

test("endpoints that were draining go when they are gone, however many", () => {
  const { sink, count } = makeCatalog();
  const whole = service(10);
  sink.replace([whole]);
  const draining = whole.endpoints.map((endpoint, index) =>
    index === 0 ? endpoint : { ...endpoint, health: "draining" as const },
  );
  sink.change([{ ...whole, endpoints: draining }], []);
  sink.change([service(1)], []);
  assert.equal(count(), 1);
});

test("endpoints that vanish in a mass stay as suspects for 90 s", () => {
  const { catalog, clock, sink, count } = makeCatalog();
  sink.replace([service(10)]);
  sink.change([service(5)], []);
  assert.equal(count(), 10);
  assert.equal(catalog.status()[0]?.suspects, 5);
  clock.advance(89_000);
  assert.equal(count(), 10);
  clock.advance(2000);
  assert.equal(count(), 5);
  assert.equal(catalog.status()[0]?.suspects, 0);
});

test("a mass that vanishes one by one within 10 s is a mass", () => {
  const { clock, sink, count } = makeCatalog();
  sink.replace([service(10)]);
  for (let left = 9; left >= 5; left--) {
    sink.change([service(left)], []);
    clock.advance(1500);
  }
  assert.equal(count(), 10);
});

test("endpoints that vanish slowly are a scale-down", () => {
  const { clock, sink, count } = makeCatalog();
  sink.replace([service(10)]);
  for (let left = 9; left >= 2; left--) {
    sink.change([service(left)], []);
    clock.advance(6000);
  }
  assert.equal(count(), 2);
});

test("a service that vanishes as a whole stays, and what comes back is no suspect", () => {
  const { catalog, sink, count } = makeCatalog();
  sink.replace([service(4)]);
  sink.replace([]);
  assert.equal(count(), 4);
  sink.replace([service(4)]);
  assert.equal(
    catalog.services.get("shop/a")?.endpoints.some(({ isSuspect }) => isSuspect),
    false,
  );
});

test("an unreachable registry keeps its last word, marked stale with its age", () => {
  const { catalog, clock, sink, count } = makeCatalog();
  sink.replace([service(2)]);
  sink.fail(new Error("no route"));
  clock.advance(3000);
  sink.fail(new Error("no route"));
  assert.equal(count(), 2);
  assert.deepEqual(catalog.status()[0], {
    name: "test",
    state: "stale",
    ageMs: 3000,
    error: "no route",
    services: 1,
    suspects: 0,
  });
  sink.change([], []);
  assert.equal(catalog.status()[0]?.state, "live");
});

test("a change of endpoints is told apart from a change of the service", () => {
  const { catalog, sink } = makeCatalog();
  const changes: string[] = [];
  catalog.subscribe((change) => changes.push(change));
  sink.replace([service(2)]);
  sink.change([service(3)], []);
  sink.change([service(3)], []);
  sink.change([{ ...service(3), hosts: ["a.example"] }], []);
  assert.deepEqual(changes, ["services", "endpoints", "services"]);
});
