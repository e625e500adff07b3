import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint } from "#config/model/endpoint.ts";
import type { UpstreamTls } from "#config/model/tls.ts";
import type { Pick } from "#filters/filter.ts";
import { endpointKey } from "#lib/session-key.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { ClusterTable } from "./cluster-set.ts";
import type { PickedEndpoint } from "./contract.ts";
import {
  assignmentOf,
  clusterOf,
  contextOf,
  endpointOf,
  endpointsOf,
  HTTP_OPTIONS,
  OUTLIER,
} from "./testing/cluster-of.ts";
import { resolveTarget } from "./target.ts";
import { deafHandler, FakeConnector, RecordingWaiter } from "./testing/fake-connector.ts";

const TLS: UpstreamTls = {
  certificate: { kind: "sds", name: "default" },
  validation: { roots: { kind: "sds", name: "ROOTCA" }, subjectAltNames: [], acceptUntrusted: false },
  alpn: ["h2"],
  minVersion: "TLSv1.3",
  maxVersion: undefined,
  cipherSuites: [],
  curves: [],
  sni: "",
  autoHostSni: false,
};

function setUp(cluster: Cluster, assignment: ClusterLoadAssignment) {
  const clock = new FakeClock();
  const connector = new FakeConnector();
  const table = new ClusterTable(contextOf(clock, connector));
  table.apply([cluster], new Map([[cluster.name, assignment]]));
  return { clock, connector, table };
}

function pickOf(cluster: Cluster, overrides: Partial<Pick> = {}): Pick {
  return { cluster, labels: {}, hash: undefined, avoid: [], ...overrides };
}

function pickFrom(table: ClusterTable, cluster: Cluster, overrides: Partial<Pick> = {}): PickedEndpoint {
  const picked = table.get(cluster.name)?.pick(pickOf(cluster, overrides));
  if (picked === undefined || typeof picked === "string") throw new Error(`nothing was picked: ${picked}`);
  return picked;
}

/** Addresses that `count` picks go to. */
function addresses(
  table: ClusterTable,
  cluster: Cluster,
  count: number,
  overrides: Partial<Pick> = {},
): Map<string, number> {
  const found = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const picked = pickFrom(table, cluster, overrides);
    found.set(picked.endpoint.address, (found.get(picked.endpoint.address) ?? 0) + 1);
    picked.done();
  }
  return found;
}

function failFiveTimes(table: ClusterTable, cluster: Cluster, address: string): void {
  for (let failures = 0; failures < 5;) {
    const picked = pickFrom(table, cluster);
    const isBad = picked.endpoint.address === address;
    if (isBad) failures++;
    picked.report({
      kind: "response",
      status: isBad ? 503 : 200,
      grpcStatus: undefined,
      latencyMs: 1,
      retryAfterMs: 0,
    });
    picked.done();
  }
}

test("an unknown cluster is undefined, one without endpoints is empty", () => {
  const cluster = clusterOf("reviews");
  const { table } = setUp(cluster, assignmentOf("reviews"));
  assert.equal(table.get("ratings"), undefined);
  assert.equal(table.get("reviews")?.pick(pickOf(cluster)), "cluster-empty");
});

test("labels narrow to a subset and never fall back to others", () => {
  const cluster = clusterOf("reviews");
  const { table } = setUp(
    cluster,
    assignmentOf("reviews", [
      endpointOf("10.0.0.1", 80, { labels: { version: "v1", tenant: "a" } }),
      endpointOf("10.0.0.2", 80, { labels: { version: "v2", tenant: "a" }, health: "unhealthy" }),
      endpointOf("10.0.0.3", 80, { labels: { version: "v2", tenant: "b" } }),
    ]),
  );
  assert.deepEqual([...addresses(table, cluster, 20, { labels: { version: "v1" } }).keys()], ["10.0.0.1"]);
  assert.deepEqual([...addresses(table, cluster, 20, { labels: { version: "v2", tenant: "b" } }).keys()], ["10.0.0.3"]);
  // Its only endpoint is unhealthy: panic uses it rather than another tenant's.
  assert.deepEqual([...addresses(table, cluster, 20, { labels: { version: "v2", tenant: "a" } }).keys()], ["10.0.0.2"]);
  for (const labels of [{ version: "v3" }, { version: "v1", tenant: "b" }, { zone: "x" }]) {
    assert.equal(table.get("reviews")?.pick(pickOf(cluster, { labels })), "no-endpoint-in-subset");
  }
});

test("a session's endpoint is taken while it may be used, and no other where the session is strict", () => {
  const cluster = clusterOf("reviews");
  const ofTenant = (tenant: string, health: Endpoint["health"] = "healthy") => ({ labels: { tenant }, health });
  const set = (health: Endpoint["health"]) =>
    assignmentOf("reviews", [
      endpointOf("10.0.0.1", 80, ofTenant("a", health)),
      endpointOf("10.0.0.2", 80, ofTenant("a")),
    ]);
  const { table } = setUp(cluster, set("healthy"));
  const endpoint = endpointKey("reviews", "10.0.0.1:80");
  const goesTo = (overrides: Partial<Pick>): unknown => {
    const picked = table.get("reviews")?.pick(pickOf(cluster, { isStrict: true, ...overrides }));
    return typeof picked === "object" ? picked.endpoint.address : picked;
  };
  for (let i = 0; i < 10; i++) assert.equal(goesTo({ endpoint }), "10.0.0.1");
  assert.equal(goesTo({ endpoint, labels: { tenant: "b" } }), "session-endpoint-gone");
  assert.equal(goesTo({ endpoint: endpointKey("reviews", "10.0.0.9:22") }), "session-endpoint-gone");
  assert.equal(goesTo({ endpoint: endpointKey("other", "10.0.0.1:80") }), "session-endpoint-gone");
  for (const health of ["unhealthy", "draining", "timeout"] as const) {
    table.apply([cluster], new Map([["reviews", set(health)]]));
    assert.equal(goesTo({ endpoint }), "session-endpoint-gone", health);
    assert.equal(goesTo({ endpoint, isStrict: false }), "10.0.0.2", health);
  }
  table.apply([cluster], new Map([["reviews", set("degraded")]]));
  assert.equal(goesTo({ endpoint }), "10.0.0.1");
});

test("without panic an unhealthy subset has no endpoint", () => {
  const cluster = clusterOf("reviews", { panicThresholdPercent: 0 });
  const { table } = setUp(cluster, assignmentOf("reviews", endpointsOf(2, { health: "unhealthy" })));
  assert.equal(table.get("reviews")?.pick(pickOf(cluster)), "no-healthy-endpoint");
  const foreign = pickOf(cluster, { labels: { tenant: "b" } });
  assert.equal(table.get("reviews")?.pick(foreign, { address: "10.0.0.1", port: 9080 }), "no-endpoint-in-subset");
});

test("traffic stays at the best priority while it is healthy enough, spills over, and comes back", () => {
  const cluster = clusterOf("reviews");
  const near = endpointsOf(4);
  const far = [endpointOf("10.1.0.1", 80), endpointOf("10.1.0.2", 80)];
  const { table } = setUp(cluster, assignmentOf("reviews", near, far));
  const farShare = (): number => {
    const found = addresses(table, cluster, 2000);
    return ((found.get("10.1.0.1") ?? 0) + (found.get("10.1.0.2") ?? 0)) / 2000;
  };
  assert.equal(farShare(), 0);
  table.setHealth("reviews", "10.0.0.0:80", "unhealthy");
  assert.equal(farShare(), 0);
  table.setHealth("reviews", "10.0.0.1:80", "unhealthy");
  // Half of them times 1.4 is 70 %; standard error 1 %.
  assert.ok(Math.abs(farShare() - 0.3) < 0.06);
  for (const at of [2, 3]) table.setHealth("reviews", `10.0.0.${at}:80`, "unhealthy");
  assert.equal(farShare(), 1);
  for (const at of [0, 1, 2, 3]) table.setHealth("reviews", `10.0.0.${at}:80`, "healthy");
  assert.equal(farShare(), 0);
});

test("below the panic threshold all endpoints are used", () => {
  const cluster = clusterOf("reviews");
  const { table } = setUp(cluster, assignmentOf("reviews", endpointsOf(5)));
  for (const at of [0, 1, 2]) table.setHealth("reviews", `10.0.0.${at}:80`, "unhealthy");
  assert.equal(addresses(table, cluster, 100).size, 5);
  table.setHealth("reviews", "10.0.0.0:80", "healthy");
  assert.equal(addresses(table, cluster, 100).size, 3);
});

test("a draining endpoint gets nothing, not even in panic; degraded ones only when the healthy do not suffice", () => {
  const cluster = clusterOf("reviews", { panicThresholdPercent: 100 });
  const { table } = setUp(
    cluster,
    assignmentOf("reviews", [
      endpointOf("10.0.0.1", 80, { health: "draining" }),
      endpointOf("10.0.0.2", 80, { health: "unhealthy" }),
    ]),
  );
  assert.deepEqual([...addresses(table, cluster, 50).keys()], ["10.0.0.2"]);
  const mixed = setUp(
    cluster,
    assignmentOf("reviews", [endpointOf("10.0.0.1", 80, { health: "degraded" }), endpointOf("10.0.0.2", 80)]),
  );
  const found = addresses(mixed.table, cluster, 1000);
  // Healthy: half of the endpoints times 1.4 = 70 % (of 140 % together).
  assert.ok((found.get("10.0.0.1") ?? 0) > 0 && (found.get("10.0.0.2") ?? 0) > 600);
});

test("localities with different weights share by weight", () => {
  const cluster = clusterOf("reviews", { weighsLocalities: true });
  const base = assignmentOf("reviews", [endpointOf("10.0.0.1", 80)], [endpointOf("10.0.0.2", 80)]);
  const { table } = setUp(cluster, {
    ...base,
    localities: base.localities.map((locality, i) => ({
      ...locality,
      priority: 0,
      zone: `z${i}`,
      weight: i === 0 ? 3 : 1,
    })),
  });
  const first = addresses(table, cluster, 4000).get("10.0.0.1") ?? 0;
  assert.ok(first > 2800 && first < 3200, `${first}`);
});

test("a retry goes to another endpoint while there is one", () => {
  const cluster = clusterOf("reviews", { lb: { kind: "ringHash", minimumRingSize: 1024, maximumRingSize: 8_388_608 } });
  const endpoints = endpointsOf(3);
  const { table } = setUp(cluster, assignmentOf("reviews", endpoints));
  for (let hash = 0; hash < 200; hash++) {
    const avoid = endpoints.slice(0, 2);
    assert.equal(pickFrom(table, cluster, { hash: hash * 7_777_777, avoid }).endpoint.address, "10.0.0.2");
  }
  assert.ok(pickFrom(table, cluster, { avoid: endpoints }).endpoint.address.startsWith("10.0.0."));
});

test("one bad endpoint is ejected while the others serve on, and it comes back after the base time", () => {
  const cluster = clusterOf("reviews", { outlier: OUTLIER });
  const { table, clock } = setUp(cluster, assignmentOf("reviews", endpointsOf(3)));
  failFiveTimes(table, cluster, "10.0.0.1");
  assert.deepEqual([...addresses(table, cluster, 60).keys()].sort(), ["10.0.0.0", "10.0.0.2"]);
  clock.advance(29_999);
  assert.equal(addresses(table, cluster, 60).size, 2);
  clock.advance(1);
  assert.equal(addresses(table, cluster, 60).size, 3);
  failFiveTimes(table, cluster, "10.0.0.1");
  clock.advance(59_999);
  assert.equal(addresses(table, cluster, 60).size, 2);
  clock.advance(1);
  assert.equal(addresses(table, cluster, 60).size, 3);
});

test("a hundred configurations while an endpoint is ejected: it stays ejected, and its pools stay open", () => {
  const cluster = clusterOf("reviews", { outlier: OUTLIER });
  const { table, clock, connector } = setUp(cluster, assignmentOf("reviews", endpointsOf(3)));
  const waiter = new RecordingWaiter();
  pickFrom(table, cluster).open("http1", deafHandler, waiter);
  connector.at(0).succeed();
  failFiveTimes(table, cluster, "10.0.0.1");
  for (let i = 0; i < 100; i++) {
    const edited = {
      ...structuredClone(cluster),
      connectTimeoutMs: 5000,
      metadata: { edit: i },
      limits: { ...cluster.limits, maxRetries: i },
    };
    const endpoints: Endpoint[] = [...structuredClone(endpointsOf(3)), endpointOf("10.9.9.9", i + 1)];
    table.apply([edited, clusterOf(`other-${i}`)], new Map([["reviews", assignmentOf("reviews", endpoints)]]));
    assert.equal(addresses(table, edited, 40).has("10.0.0.1"), false);
    clock.advance(100);
  }
  assert.equal(connector.attempts.length, 1);
  assert.equal(connector.at(0).isDraining, false);
  clock.advance(20_000);
  assert.equal(addresses(table, cluster, 60).has("10.0.0.1"), true);
});

test("an assignment that does not come keeps the one before", () => {
  const cluster = clusterOf("reviews");
  const { table } = setUp(cluster, assignmentOf("reviews", endpointsOf(2)));
  table.apply([cluster], new Map());
  assert.equal(addresses(table, cluster, 10).size, 2);
});

test("an endpoint that leaves drains its connections; what was chosen before may still open", () => {
  const cluster = clusterOf("reviews");
  const { table, connector } = setUp(cluster, assignmentOf("reviews", endpointsOf(1)));
  const running = new RecordingWaiter();
  pickFrom(table, cluster).open("http1", deafHandler, running);
  connector.at(0).succeed();
  const chosen = pickFrom(table, cluster);
  table.apply([cluster], new Map([["reviews", assignmentOf("reviews", [endpointOf("10.0.0.9", 80)])]]));
  assert.equal(connector.at(0).isDraining, true);
  assert.equal(connector.at(0).isClosed, false);
  running.stream?.finish();
  assert.equal(connector.at(0).isClosed, true);
  const late = new RecordingWaiter();
  chosen.open("http1", deafHandler, late);
  connector.at(1).succeed();
  assert.notEqual(late.stream, undefined);
});

test("a mesh peer is connected to at its inbound port over h2 with exactly its identity, and never without TLS", () => {
  const mesh = {
    kind: "peer",
    inboundAddress: "10.0.0.1",
    inboundPort: 15_006,
    identity: "spiffe://mesh/ns/shop/sa/reviews",
    version: "1",
  } as const;
  const endpoint = endpointOf("10.0.0.1", 80, { mesh, transportSocket: { tlsMode: "heddle" } });
  const cluster = clusterOf("reviews", { tlsMatches: [{ name: "mesh", match: { tlsMode: "heddle" }, tls: TLS }] });
  const { table, connector } = setUp(cluster, assignmentOf("reviews", [endpoint]));
  pickFrom(table, cluster).open("http1", deafHandler, new RecordingWaiter());
  const { target } = connector.at(0);
  assert.deepEqual([target.port, target.protocol, target.expectedIdentity], [15_006, "http2", mesh.identity]);

  const bare = clusterOf("bare");
  table.apply([bare], new Map([["bare", assignmentOf("bare", [endpoint])]]));
  const refused = new RecordingWaiter();
  pickFrom(table, bare).open("http1", deafHandler, refused);
  assert.equal(refused.failure, "tls");
  assert.match(refused.detail, /spiffe:\/\/mesh\/ns\/shop\/sa\/reviews.*never called in plaintext/);
  assert.equal(connector.attempts.length, 1);
});

test("a renewed secret drains the connections that were made with it, and only those", () => {
  const secure = clusterOf("secure", { tls: TLS, http: { ...HTTP_OPTIONS, protocol: "http2" } });
  const plain = clusterOf("plain");
  const { table, connector } = setUp(secure, assignmentOf("secure", endpointsOf(1)));
  table.apply(
    [secure, plain],
    new Map([
      ["secure", assignmentOf("secure", endpointsOf(1))],
      ["plain", assignmentOf("plain", endpointsOf(1))],
    ]),
  );
  for (const cluster of [secure, plain]) pickFrom(table, cluster).open("http2", deafHandler, new RecordingWaiter());
  connector.at(0).succeed();
  connector.at(1).succeed();
  table.renewTls(new Set(["other"]));
  assert.equal(connector.at(0).isDraining, false);
  table.renewTls(new Set(["default"]));
  assert.deepEqual([connector.at(0).isDraining, connector.at(1).isDraining], [true, false]);
});

test("requests and retries are admitted up to their limits and given back", () => {
  const limits = { ...clusterOf("x").limits, maxRequests: 2, maxRetries: 1 };
  const cluster = clusterOf("reviews", { limits });
  const upstream = setUp(cluster, assignmentOf("reviews")).table.get("reviews");
  assert.deepEqual([upstream?.admit(false), upstream?.admit(false), upstream?.admit(false)], [true, true, false]);
  assert.equal(upstream?.admit(false, "high"), true);
  assert.deepEqual([upstream?.admit(true), upstream?.admit(true)], [true, false]);
  upstream?.release(true);
  assert.equal(upstream?.admit(true), true);
});

test("an original-destination cluster takes the address that the client wanted, and forgets it when idle", () => {
  const cluster = clusterOf("original", { discovery: { kind: "originalDst" } });
  const { table, clock } = setUp(cluster, assignmentOf("original"));
  const upstream = table.get("original");
  assert.equal(upstream?.pick(pickOf(cluster)), "cluster-empty");
  const picked = upstream?.pick(pickOf(cluster), { address: "192.0.2.7", port: 5432 });
  assert.ok(picked !== undefined && typeof picked !== "string");
  assert.equal(picked.endpoint.address, "192.0.2.7");
  clock.advance(30_000);
  assert.equal(table.snapshot()[0]?.endpoints.length, 1);
  picked.done();
  clock.advance(30_000);
  assert.equal(table.snapshot()[0]?.endpoints.length, 0);
});

test("a tunnel to a plain endpoint is a connection of its own, counted; to a mesh peer a CONNECT stream", () => {
  const cluster = clusterOf("redis", { limits: { ...clusterOf("x").limits, maxConnections: 1 } });
  const { table, connector } = setUp(cluster, assignmentOf("redis", endpointsOf(1)));
  const open = (): RecordingWaiter => {
    const waiter = new RecordingWaiter();
    pickFrom(table, cluster).openTunnel("redis:6379", deafHandler, waiter);
    return waiter;
  };
  open();
  assert.equal(connector.raw[0]?.target.protocol, "raw");
  assert.equal(open().failure, "overflow");
  connector.raw[0]?.handler.onConnectFailed("connect-failure", "ECONNREFUSED");
  assert.equal(open().failure, undefined);
});

test("a cluster of the original endpoint takes that one whatever its health, and no other", () => {
  const cluster: Cluster = { ...clusterOf("reviews"), lb: { kind: "originalEndpoint" } };
  const sick: Endpoint = { ...endpointOf("10.0.0.2", 9080), health: "unhealthy" };
  const { table } = setUp(cluster, assignmentOf("reviews", [endpointOf("10.0.0.1", 9080), sick]));
  const pick = (address: string) => table.get("reviews")?.pick(pickOf(cluster), { address, port: sick.port });
  const picked = pick("10.0.0.2");
  assert.equal(typeof picked === "string" ? picked : picked?.endpoint.address, "10.0.0.2");
  assert.equal(pick("10.0.0.3"), "no-healthy-endpoint");
  assert.equal(table.get("reviews")?.pick(pickOf(cluster)), "no-healthy-endpoint");
});

test("connections come from the source address of the endpoint's family", () => {
  const sourceOf = (address: string, sources: readonly string[] = ["127.0.0.6", "::6"]) => {
    const target = resolveTarget(
      { ...clusterOf("reviews"), sourceAddresses: sources },
      endpointOf(address, 9080),
      "http1",
    );
    return typeof target === "string" ? target : target.sourceAddress;
  };
  assert.equal(sourceOf("10.0.0.1"), "127.0.0.6");
  assert.equal(sourceOf("fd00::1"), "::6");
  assert.equal(sourceOf("fd00::1", ["127.0.0.6"]), undefined);
});

test("an endpoint that comes new to a checked cluster waits for its first check", () => {
  const cluster = clusterOf("reviews", {
    healthChecks: [
      {
        timeoutMs: 1000,
        intervalMs: 5000,
        jitterMs: 0,
        noTrafficIntervalMs: 60_000,
        unhealthyThreshold: 3,
        healthyThreshold: 2,
        check: { kind: "tcp" },
      },
    ],
  });
  const { table } = setUp(cluster, assignmentOf("reviews", endpointsOf(2)));
  assert.equal(addresses(table, cluster, 10).size, 2, "the first ones are taken for well");
  table.apply([cluster], new Map([["reviews", assignmentOf("reviews", endpointsOf(3))]]));
  assert.equal(addresses(table, cluster, 10).has("10.0.0.2"), false);
  table.setHealth("reviews", "10.0.0.2:80", "healthy");
  assert.equal(addresses(table, cluster, 30).get("10.0.0.2"), 10);
  table.setHealth("reviews", "10.0.0.2:80", "unhealthy");
  assert.equal(addresses(table, cluster, 10).has("10.0.0.2"), false);
  const unchecked = { ...cluster, healthChecks: [] };
  table.apply([unchecked], new Map());
  assert.equal(addresses(table, unchecked, 30).get("10.0.0.2"), 10, "nobody checks any more");
});

test("a suspect gets single requests when its time is over, and comes back with the first success", () => {
  const cluster = clusterOf("reviews", {
    outlier: { ...OUTLIER, stages: { suspectForMs: 10_000, confirmUntilMs: 30_000 } },
  });
  const { clock, table } = setUp(cluster, assignmentOf("reviews", endpointsOf(3)));
  failFiveTimes(table, cluster, "10.0.0.1");
  assert.equal(addresses(table, cluster, 30).has("10.0.0.1"), false);
  clock.advance(10_000);
  const trial = pickFrom(table, cluster);
  assert.equal(trial.endpoint.address, "10.0.0.1");
  assert.equal(addresses(table, cluster, 30).has("10.0.0.1"), false, "one at a time");
  trial.report({ kind: "response", status: 200, grpcStatus: undefined, latencyMs: 1, retryAfterMs: 0 });
  trial.done();
  assert.equal(addresses(table, cluster, 30).get("10.0.0.1"), 10);
});
