// Which of several policies holds, and what is said to the others: docs/policies/precedence.md.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonPath } from "#config/load/json-path.ts";
import { isObject } from "#config/load/values.ts";
import { structural } from "#config/schema/fields.ts";
import { leavesOf, makeHolding, placeOf } from "#config/schema/testing/leaves.ts";
import { trafficBlocks } from "#config/schema/traffic/blocks.ts";
import { MeshReader } from "../../mesh/derivation.ts";
import { statusOf, type Condition } from "../status.ts";
import { makeMesh, type TestMesh } from "../testing/make-mesh.ts";
import { fallbackPolicies } from "./fallback.ts";
import { trafficFor } from "./traffic.ts";

const base = `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: reviews, namespace: shop }
spec: { ports: [{ name: http, port: 9080, protocol: HTTP }], endpoints: [{ name: r-1, address: 127.0.0.1, labels: { version: v2 } }] }
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: { name: reviews-v2, namespace: shop }
spec: { service: reviews, labels: { version: v2 } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: reviews, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews, port: 9080 }]
  rules: [{ name: slow, backendRefs: [{ name: reviews, port: 9080 }] }]
`;

function policy(kind: string, name: string, target: string, spec: string, created?: string): string {
  const age = created === undefined ? "" : `, creationTimestamp: "${created}"`;
  return `---
apiVersion: heddle.dev/v1alpha1
kind: ${kind}
metadata: { name: ${name}, namespace: shop${age} }
spec: { ${target === "" ? "" : `targetRefs: [{ ${target} }], `}${spec} }
`;
}

const group = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: reviews";
/** From the least specific on. */
const levels = [
  ["port", "name: reviews, sectionName: http"],
  ["subset", "group: heddle.dev, kind: ServiceSubset, name: reviews-v2"],
  ["route", group],
  ["rule", `${group}, sectionName: slow`],
] as const;

/** What a block can say, told apart by `at`: 0 for MeshConfig, 1 for the service, then by `levels`. */
function says(block: keyof typeof trafficBlocks, at: number): string {
  const schema = structural(trafficBlocks[block]);
  for (const { path, schema: field } of leavesOf(schema)) {
    const { type, minimum = 0, maximum = 0, "x-heddle-format": format } = field;
    const isNumber = type === "integer" && maximum - minimum > 6;
    const words = field.enum ?? [];
    if (path.includes("[]") || (!isNumber && format !== "duration" && words.length < 2)) continue;
    const value = makeHolding(schema, path);
    if (value === undefined) continue;
    // Of two words each level says the other one than the level below.
    const mark = isNumber ? minimum + at : words.length > 0 ? words[at % 2] : `${at + 1}s`;
    return JSON.stringify({ [block]: replaced(value, placeOf(path), mark) }).slice(1, -1);
  }
  return assert.fail(`${block} has nothing to tell its levels apart by`);
}

function replaced(value: unknown, [step, ...rest]: JsonPath, mark: unknown): unknown {
  if (step === undefined) return mark;
  return isObject(value) ? { ...value, [step]: replaced(value[step], rest, mark) } : assert.fail("no such place");
}

function blocksOf(mesh: TestMesh) {
  const snapshot = mesh.store.current ?? assert.fail();
  const service = snapshot.tables.services.get("shop/reviews") ?? assert.fail();
  const [route] = snapshot.tables.routes.get("shop/reviews") ?? [];
  const [port = assert.fail()] = service.ports;
  return trafficFor(new MeshReader(snapshot), {
    service: "shop/reviews",
    port,
    subset: "reviews-v2",
    route,
    rule: "slow",
  });
}

function conditions(mesh: TestMesh, name: string): readonly Condition[] {
  return statusOf(mesh.store.current ?? assert.fail()).find((one) => one.name === name)?.conditions ?? [];
}

const summary = (mesh: TestMesh, name: string): readonly string[] =>
  conditions(mesh, name).map(({ type, status, reason }) => `${type} ${status} ${reason}`);

for (const block of Object.keys(trafficBlocks) as (keyof typeof trafficBlocks)[])
  // its own keys
  test(`${block}: a rule's policy holds over its route's, that over the subset's, the port's, the service's and MeshConfig's`, () => {
    const mesh = makeMesh(`${base}---
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { defaults: { ${says(block, 0)} } }
`);
    const valueOf = (): string => JSON.stringify(Reflect.get(blocksOf(mesh), block));
    const seen = [valueOf()];
    mesh.put(policy("TrafficPolicy", "service", "name: reviews", says(block, 1)));
    seen.push(valueOf());
    for (const [index, [name, target]] of levels.entries()) {
      mesh.put(policy("TrafficPolicy", name, target, says(block, index + 2)));
      seen.push(valueOf());
    }
    for (const [at, value] of seen.entries()) assert.notEqual(value, seen[at - 1]);
    // And back: what is taken away uncovers what is below.
    for (const [index, [name]] of [...levels.entries()].toReversed()) {
      mesh.remove("TrafficPolicy", name);
      assert.equal(valueOf(), seen[index + 1]);
    }
  });

test("of two policies for one target the oldest holds, whatever their names; without ages the first by name", () => {
  const old = policy("TrafficPolicy", "z", "name: reviews", "retries: { attempts: 7 }", "2026-01-01T00:00:00Z");
  const young = policy("TrafficPolicy", "a", "name: reviews", "retries: { attempts: 9 }", "2026-01-02T00:00:00Z");
  const mesh = makeMesh(base + young + old);
  assert.equal(blocksOf(mesh).retries?.attempts, 7);
  assert.deepEqual(summary(mesh, "z"), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"]);
  assert.deepEqual(summary(mesh, "a"), ["Accepted False Conflicted", "ResolvedRefs True ResolvedRefs"]);
  const ageless = makeMesh(
    base + [old, young].map((text) => text.replace(/, creationTimestamp: "[^"]*"/, "")).join(""),
  );
  assert.equal(blocksOf(ageless).retries?.attempts, 9);
  assert.equal(conditions(ageless, "z")[0]?.message, 'shop/a has "retries" for the same target and comes first');
});

test("a policy that loses a part of what it says is accepted, and told which", () => {
  const both = policy("TrafficPolicy", "b", "name: reviews", "retries: { attempts: 9 }, circuitBreaker: {}");
  const mesh = makeMesh(base + policy("TrafficPolicy", "a", "name: reviews", "retries: { attempts: 7 }") + both);
  assert.equal(blocksOf(mesh).retries?.attempts, 7);
  assert.ok(blocksOf(mesh).circuitBreaker);
  assert.deepEqual(summary(mesh, "b"), [
    "Accepted True Accepted",
    "ResolvedRefs True ResolvedRefs",
    "Effective False Conflicted",
  ]);
});

test("different timeouts of two policies hold together", () => {
  const a = policy("TrafficPolicy", "a", "name: reviews", "timeouts: { request: 1s }");
  const mesh = makeMesh(base + a + policy("TrafficPolicy", "b", "name: reviews", "timeouts: { connect: 2s }"));
  assert.deepEqual(blocksOf(mesh).timeouts, { request: "1s", connect: "2s" });
  assert.deepEqual(summary(mesh, "b"), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"]);
});

test("conflicts of policies without targets are told too", () => {
  for (const [kind, spec] of [
    ["Telemetry", "accessLog: { enabled: true }"],
    ["PeerAuthentication", "mode: STRICT"],
  ] as const) {
    const mesh = makeMesh(base + policy(kind, "a", "", spec) + policy(kind, "b", "", spec));
    assert.deepEqual(summary(mesh, "b").at(0), "Accepted False Conflicted", kind);
  }
});

test("a policy that names a missing target is accepted, unresolved, and takes effect when the target comes", () => {
  const missing = policy("TrafficPolicy", "early", "name: ratings", "retries: { attempts: 7 }");
  const mesh = makeMesh(base + missing);
  assert.deepEqual(summary(mesh, "early"), ["Accepted True Accepted", "ResolvedRefs False TargetNotFound"]);
  assert.equal(conditions(mesh, "early")[1]?.message, 'there is no service "shop/ratings"');
  mesh.put(`apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ratings, namespace: shop }
spec: { ports: [{ name: http, port: 9080, protocol: HTTP }] }
`);
  assert.deepEqual(summary(mesh, "early"), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"]);
  const snapshot = mesh.store.current ?? assert.fail();
  const [port = assert.fail()] = snapshot.tables.services.get("shop/ratings")?.ports ?? [];
  assert.equal(trafficFor(new MeshReader(snapshot), { service: "shop/ratings", port }).retries?.attempts, 7);
});

test("what of a target is missing is named, of every kind of target", () => {
  const cases = [
    ["name: reviews, sectionName: grpc", 'service "shop/reviews" has no port "grpc"'],
    ["group: heddle.dev, kind: ServiceSubset, name: v3", 'there is no ServiceSubset "shop/v3"'],
    ["group: gateway.networking.k8s.io, kind: GRPCRoute, name: reviews", 'there is no GRPCRoute "shop/reviews"'],
    [
      "group: heddle.dev, kind: ServiceSubset, name: reviews-v2, sectionName: http",
      'ServiceSubset "shop/reviews-v2" has no part called "http"',
    ],
    [`${group}, sectionName: fast`, 'HTTPRoute "shop/reviews" has no rule called "fast"'],
  ] as const;
  for (const [target, message] of cases) {
    const mesh = makeMesh(base + policy("TrafficPolicy", "p", target, "retries: {}"));
    assert.equal(conditions(mesh, "p").find(({ type }) => type === "ResolvedRefs")?.message, message);
  }
});

const answers = (at: number): string => `static: { body: "${at}" }`;

/** What `shop/r-1` is told to answer in place of the port, and of the rule. */
function fallbacksOf(mesh: TestMesh): readonly (string | undefined)[] {
  const snapshot = mesh.store.current ?? assert.fail();
  const [port = assert.fail()] = snapshot.tables.services.get("shop/reviews")?.ports ?? [];
  const [route = assert.fail()] = snapshot.tables.routes.get("shop/reviews") ?? [];
  const [rule = assert.fail()] = route.spec.rules ?? [];
  const reader = new MeshReader(snapshot);
  const target = { service: "shop/reviews", port, direction: "outbound" } as const;
  const told = [fallbackPolicies.forPort(reader, target), fallbackPolicies.forRule(reader, { ...target, route, rule })];
  return told.map((settings) => /"body":"([^"]*)"/.exec(JSON.stringify(settings) ?? "")?.[1]);
}

test("a FallbackPolicy for one port or rule holds over an older one for the whole Service or route", () => {
  const wide = [
    policy("FallbackPolicy", "a", "name: reviews", answers(1)),
    policy("FallbackPolicy", "b", group, answers(2)),
  ];
  const mesh = makeMesh(base + wide.join(""));
  assert.deepEqual(fallbacksOf(mesh), ["1", "2"]);
  mesh.put(policy("FallbackPolicy", "y", "name: reviews, sectionName: http", answers(3)));
  mesh.put(policy("FallbackPolicy", "z", `${group}, sectionName: slow`, answers(4)));
  assert.deepEqual(fallbacksOf(mesh), ["3", "4"]);
  for (const name of ["a", "b", "y", "z"])
    assert.deepEqual(summary(mesh, name), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"], name);
});

test("FallbackPolicies of both directions hold side by side", () => {
  const inbound = policy("FallbackPolicy", "b", "name: reviews", `direction: inbound, ${answers(2)}`);
  const mesh = makeMesh(base + policy("FallbackPolicy", "a", "name: reviews", answers(1)) + inbound);
  assert.deepEqual(summary(mesh, "b"), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"]);
  mesh.put(inbound.replace("name: b", "name: c"));
  assert.deepEqual(summary(mesh, "c").at(0), "Accepted False Conflicted");
});

test("a global limit, and MeshConfig, say that the service to ask is not there, until it is", () => {
  const spec = "global: { descriptors: [{ entries: [{ type: method, key: m }] }] }";
  const mesh = makeMesh(base + policy("RateLimitPolicy", "p", "name: reviews", spec));
  const told = (name: string): string | undefined =>
    conditions(mesh, name).find(({ type, status }) => type === "ResolvedRefs" && status === "False")?.message;
  assert.equal(told("p"), "MeshConfig has no rateLimitService to ask for global limits");
  mesh.put(`apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { rateLimitService: { namespace: shop, name: limits, port: 8081, domain: d } }
`);
  for (const name of ["p", "default"]) assert.equal(told(name), 'there is no service "shop/limits"');
  const limits = (port: number): string => `apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: limits, namespace: shop }
spec: { ports: [{ name: grpc, port: ${port}, protocol: GRPC }] }
`;
  mesh.put(limits(8080));
  for (const name of ["p", "default"]) assert.equal(told(name), 'service "shop/limits" has no port 8081');
  mesh.put(limits(8081));
  for (const name of ["p", "default"]) assert.equal(told(name), undefined);
});

const noEffect = (mesh: TestMesh, name: string): string | undefined =>
  conditions(mesh, name).find(({ type }) => type === "Effective")?.message;

test("what is said of requests to a port of opaque TCP is said to have no effect", () => {
  const db = `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: db, namespace: shop }
spec: { ports: [{ name: sql, port: 5432, protocol: TCP }, { name: http, port: 80, protocol: HTTP }] }
`;
  const cases = [
    ["RateLimitPolicy", "direction: outbound, local: [{ requests: 1 }]", /it has no effect there: .* on sql, which/],
    ["FaultPolicy", "faults: [{ abort: { httpStatus: 500 } }]", /it has no effect there/],
    ["FallbackPolicy", "direction: inbound, static: {}", /it has no effect there/],
    [
      "TrafficPolicy",
      "timeouts: { request: 1s, connect: 1s }, retries: {}",
      /timeouts\.request, retries has no effect/,
    ],
    ["TrafficPolicy", "timeouts: { connect: 1s }, circuitBreaker: {}", undefined],
  ] as const;
  for (const [kind, spec, expected] of cases) {
    const mesh = makeMesh(base + db + policy(kind, "p", "name: db, sectionName: sql", spec));
    if (expected === undefined) assert.equal(noEffect(mesh, "p"), undefined);
    else assert.match(noEffect(mesh, "p") ?? "", expected);
    for (const target of ["name: db", "name: db, sectionName: http"]) {
      const whole = makeMesh(base + db + policy(kind, "p", target, spec));
      assert.equal(noEffect(whole, "p"), undefined);
    }
  }
});

test("what a consumer's route is to have at the server's sidecar is said to have no effect", () => {
  const consumer = (namespace: string): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: mine, namespace: shop }
spec: { parentRefs: [{ group: "", kind: Service, name: ratings, namespace: ${namespace} }] }
`;
  const target = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: mine";
  const cases = [
    ["RateLimitPolicy", "inbound", "local: [{ requests: 1 }]"],
    ["FaultPolicy", "inbound", "direction: inbound, faults: [{ abort: { httpStatus: 500 } }]"],
    ["TrafficPolicy", "inbound", "bulkhead: { direction: inbound, maxConcurrent: 1 }"],
    ["RateLimitPolicy", "outbound", "direction: outbound, local: [{ requests: 1 }]"],
  ] as const;
  for (const [kind, direction, spec] of cases)
    for (const namespace of ["shop", "other"]) {
      const mesh = makeMesh(base + consumer(namespace) + policy(kind, "p", target, spec));
      const isSaid = direction === "inbound" && namespace === "other";
      assert.equal(noEffect(mesh, "p")?.includes("is for a Service of another namespace") ?? false, isSaid, kind);
    }
});

test("what is said of tenants is said to have no effect while the mesh knows none, or none by a header", () => {
  const own = policy("TrafficPolicy", "p", "name: reviews", "tenants: { isolate: true }");
  const hashed = policy(
    "TrafficPolicy",
    "q",
    "name: reviews",
    "loadBalancing: { policy: maglev, hashOn: [{ type: tenant }] }",
  );
  const tenants = (source: string): string => `---
apiVersion: heddle.dev/v1alpha1
kind: MeshConfig
metadata: { name: default }
spec: { tenants: { sources: [${source}] } }
`;
  const byIdentity = tenants("{ peerIdentity: { pattern: 'spiffe://cluster.local/ns/{tenant}/sa/*' } }");
  const byHeader = tenants(
    "{ header: { name: x-tenant, trusted: { identities: ['spiffe://cluster.local/ns/*/sa/*'] } } }",
  );
  const without = makeMesh(base + own + hashed);
  assert.match(noEffect(without, "p") ?? "", /tenants has no effect/);
  assert.match(noEffect(without, "q") ?? "", /the key tenant has no effect/);
  const withIdentity = makeMesh(base + own + hashed + byIdentity);
  assert.equal(noEffect(withIdentity, "p"), undefined);
  assert.match(noEffect(withIdentity, "q") ?? "", /the key tenant has no effect/);
  assert.equal(noEffect(makeMesh(base + own + hashed + byHeader), "q"), undefined);
});
