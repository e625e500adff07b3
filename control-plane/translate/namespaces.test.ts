// Who may write for whom: what stands in one namespace must not change what goes on in another, unless it is granted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAddress } from "#config/model/address.ts";
import type { RouteTable } from "#config/model/route.ts";
import { conflictsOf } from "#config/schema/policy-conflicts.ts";
import type { Dialect } from "../mesh/resources.ts";
import type { RegistryWorkload } from "../registry/registry.ts";
import { statusOf } from "./status.ts";
import { makeMesh, nodeOf, type TestMesh } from "./testing/make-mesh.ts";

const capture = { inboundPort: 15_006, outboundPort: 15_001 };

function entry(namespace: string, name: string, spec: string, annotations = "{}"): string {
  return `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace}, annotations: ${annotations} }
spec: { ${spec} }
`;
}

const http = (port = 80): string => `ports: [{ name: http, port: ${port}, protocol: HTTP }]`;
const sidecar = "sidecar: { inbound: { http: 19001 }, httpProxyPort: 19002 }";
const client = (namespace: string, address = "10.0.9.1"): string =>
  entry(namespace, "client", `${http()}, endpoints: [{ name: client-1, address: ${address}, ${sidecar} }]`);
const reviews = entry("shop", "reviews", `${http()}, endpoints: [{ name: r-1, address: 10.0.1.1 }]`);
/** Sorts before all others. */
const intruder = (hosts: string): string =>
  entry("aaa", "intruder", `hosts: [${hosts}], ${http()}, endpoints: [{ name: i-1, address: 10.0.6.6 }]`);

function given(mesh: TestMesh, id: string, dialect: Dialect = "heddle") {
  return mesh.source.resourcesFor(nodeOf(id), dialect) ?? assert.fail(`${id} is given nothing`);
}

/** Which service has a host in the table of HTTP_PROXY. */
function ownerOf(mesh: TestMesh, namespace: string, host: string): string | undefined {
  const table = given(mesh, `${namespace}/client-1`).routes.get("outbound/http-proxy");
  return (table as RouteTable | undefined)?.virtualHosts.find(({ domains }) => domains.includes(host))?.name;
}

/** A subset and a route of the shop's own. */
const shopsOwn = `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceSubset
metadata: { name: v1, namespace: shop }
spec: { service: reviews, labels: { version: v1 } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: ours, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews, port: 80 }]
  rules: [{ matches: [{ path: { value: /v1 } }], backendRefs: [{ group: heddle.dev, kind: ServiceSubset, name: v1, port: 80 }] }]
`;

const gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute";
/** Everything that a namespace can write of a service: of its own by this name, and of the shop's by a consumer route. */
const everything = (namespace: string): string => {
  const targets = [
    "name: reviews",
    "name: reviews, sectionName: http",
    "group: heddle.dev, kind: ServiceSubset, name: all",
    "group: gateway.networking.k8s.io, kind: HTTPRoute, name: mine",
    "group: gateway.networking.k8s.io, kind: HTTPRoute, name: mine, sectionName: all",
    "name: reviews, namespace: shop",
    "name: reviews, namespace: shop, sectionName: http",
    "group: heddle.dev, kind: ServiceEntry, name: reviews, namespace: shop",
    "group: heddle.dev, kind: ServiceSubset, name: v1, namespace: shop",
    "group: gateway.networking.k8s.io, kind: HTTPRoute, name: ours, namespace: shop",
  ];
  const policies = [
    [
      "TrafficPolicy",
      "timeouts: { request: 77s }, retries: { attempts: 7 }, loadBalancing: { policy: random }, circuitBreaker: {}",
    ],
    ["RateLimitPolicy", "direction: inbound, local: [{ requests: 77 }]"],
    ["RateLimitPolicy", "direction: outbound, local: [{ requests: 77 }]"],
    ["FaultPolicy", "direction: inbound, faults: [{ abort: { httpStatus: 477 } }]"],
    ["FaultPolicy", "direction: outbound, faults: [{ abort: { httpStatus: 477 } }]"],
    ["PeerAuthentication", "mode: DISABLE"],
    ["Telemetry", "accessLog: { path: /tmp/77 }"],
  ] as const;
  const targetsOf = (kind: string): readonly string[] => {
    if (isForServices(kind)) return targets.slice(0, 2);
    return kind === "TrafficPolicy" ? targets : targets.filter((target) => !target.includes("ServiceSubset"));
  };
  const isForServices = (kind: string): boolean => kind === "PeerAuthentication" || kind === "Telemetry";
  const documents = policies.flatMap(([kind, spec], at) =>
    targetsOf(kind).map((target, index) => {
      const metadata = `{ name: p-${at}-${index}, namespace: ${namespace} }`;
      return `apiVersion: heddle.dev/v1alpha1\nkind: ${kind}\nmetadata: ${metadata}\nspec: { targetRefs: [{ ${target} }], ${spec} }\n`;
    }),
  );
  for (const [kind, spec] of policies.filter(([kind]) => isForServices(kind)))
    documents.push(
      `apiVersion: heddle.dev/v1alpha1\nkind: ${kind}\nmetadata: { name: wide, namespace: ${namespace} }\nspec: { ${spec} }\n`,
    );
  documents.push(
    `apiVersion: heddle.dev/v1alpha1\nkind: ServiceSubset\nmetadata: { name: all, namespace: ${namespace} }\nspec: { service: reviews, labels: { version: v1 } }\n`,
    `${gateway}
metadata: { name: mine, namespace: ${namespace} }
spec:
  parentRefs: [{ group: "", kind: Service, name: reviews, namespace: shop, port: 80 }]
  rules: [{ name: all, matches: [{ path: { value: /77 } }], filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { set: [{ name: x, value: "77" }] } }] }]
`,
  );
  return documents.map((text) => `---\n${text}`).join("");
};

test("whatever a namespace writes of policies and routes, the proxies of another are given the same", () => {
  const r1 =
    "endpoints: [{ name: r-1, address: 10.0.1.1, labels: { version: v1 }, sidecar: { inbound: { http: 19001 } } }]";
  const shop = client("shop") + entry("shop", "reviews", `${http()}, ${r1}`) + shopsOwn;
  const base = shop + client("other", "10.0.9.2");
  for (const dialect of ["heddle", "envoy", "grpc"] as const) {
    const [before, after] = [makeMesh(base), makeMesh(base + everything("other"))];
    for (const id of ["shop/client-1", "shop/r-1"])
      assert.deepEqual(
        comparable(given(after, id, dialect)),
        comparable(given(before, id, dialect)),
        `${id} ${dialect}`,
      );
  }
  // The same, written where it may be, changes them; and the consumer's own clients follow its route.
  const granted = makeMesh(base + everything("shop"));
  for (const id of ["shop/client-1", "shop/r-1"]) assert.match(JSON.stringify(textOf(given(granted, id))), /77/, id);
  const consumer = makeMesh(base + everything("other"));
  assert.match(textOf(given(consumer, "other/client-1")), /477/);
});

const acting = {
  TrafficPolicy: "timeouts: { request: 77s }",
  RateLimitPolicy: "direction: outbound, local: [{ requests: 77 }]",
  FaultPolicy: "direction: outbound, faults: [{ abort: { httpStatus: 477 } }]",
  FallbackPolicy: "static: { status: 277 }",
} as const;

/** For targets of the shop. */
function stranger(kind: keyof typeof acting, target: string, name = "stranger"): string {
  return `---
apiVersion: heddle.dev/v1alpha1
kind: ${kind}
metadata: { name: ${name}, namespace: other }
spec: { targetRefs: [{ ${target}, namespace: shop }], ${acting[kind]} }
`;
}

function grant(name: string, from: string, to: string, namespace = "shop"): string {
  return `---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: ${name}, namespace: ${namespace} }
spec: { from: [{ ${from} }], to: [{ ${to} }] }
`;
}

function conditionsOf(mesh: TestMesh, kind: string): readonly string[] {
  const objects = statusOf(mesh.store.current ?? assert.fail("there is no mesh"));
  const { conditions } = objects.find((one) => one.kind === kind) ?? assert.fail(`no ${kind}`);
  return conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`);
}

const granting = [
  ["name: reviews", 'group: "", kind: Service'],
  ["name: reviews, sectionName: http", 'group: "", kind: Service, name: reviews'],
  ["group: heddle.dev, kind: ServiceEntry, name: reviews", "group: heddle.dev, kind: ServiceEntry"],
  [
    "group: gateway.networking.k8s.io, kind: HTTPRoute, name: ours",
    "group: gateway.networking.k8s.io, kind: HTTPRoute",
  ],
] as const;

test("a policy for another namespace acts while that grants it, and no longer", () => {
  const base = client("shop") + reviews + shopsOwn;
  const untouched = textOf(given(makeMesh(base), "shop/client-1"));
  const subset = "group: heddle.dev, kind: ServiceSubset, name: v1";
  for (const kind of ["TrafficPolicy", "RateLimitPolicy", "FaultPolicy", "FallbackPolicy"] as const) {
    const targets: readonly (readonly [string, string])[] =
      kind === "TrafficPolicy" ? [...granting, [subset, subset], [subset, 'group: "", kind: Service']] : granting;
    for (const [target, to] of targets) {
      const mesh = makeMesh(base + stranger(kind, target));
      const now = (): string => textOf(given(mesh, "shop/client-1"));
      const refused = ["Accepted True Accepted", "ResolvedRefs False RefNotPermitted"];
      assert.equal(now(), untouched, `${kind} ${target}`);
      assert.deepEqual(conditionsOf(mesh, kind), refused);
      // Grants of another group, kind, namespace, target or place say nothing of this.
      mesh.put(grant("a", `group: gateway.networking.k8s.io, kind: ${kind}, namespace: other`, to));
      mesh.put(grant("b", "group: heddle.dev, kind: Telemetry, namespace: other", to));
      mesh.put(grant("c", `group: heddle.dev, kind: ${kind}, namespace: shop`, to));
      mesh.put(
        grant("d", `group: heddle.dev, kind: ${kind}, namespace: other`, 'group: "", kind: Service, name: gone'),
      );
      mesh.put(grant("e", `group: heddle.dev, kind: ${kind}, namespace: other`, to, "other"));
      assert.equal(now(), untouched, `${kind} ${target}`);
      assert.deepEqual(conditionsOf(mesh, kind), refused);
      mesh.put(grant("good", `group: heddle.dev, kind: ${kind}, namespace: other`, to));
      assert.notEqual(now(), untouched, `${kind} ${target} ${to}`);
      assert.deepEqual(conditionsOf(mesh, kind), ["Accepted True Accepted", "ResolvedRefs True ResolvedRefs"]);
      mesh.remove("ReferenceGrant", "good");
      assert.equal(now(), untouched, `${kind} ${target}`);
      assert.deepEqual(conditionsOf(mesh, kind), refused);
    }
  }
});

test("a granted policy for a port leaves the policy's own service of this name alone", () => {
  const own = entry("other", "reviews", `${http()}, endpoints: [{ name: r-2, address: 10.0.2.1 }]`);
  const granted = grant("good", "group: heddle.dev, kind: TrafficPolicy, namespace: other", 'group: "", kind: Service');
  const two = `---
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: two, namespace: other }
spec: { targetRefs: [{ name: reviews, namespace: shop, sectionName: http }, { name: reviews, sectionName: none }], timeouts: { request: 77s } }
`;
  const mesh = makeMesh(client("shop") + client("other", "10.0.9.2") + reviews + own + granted + two);
  const timeoutIn = (service: string): unknown =>
    [...given(mesh, "shop/client-1").routes.values()]
      .flatMap(({ virtualHosts }) => virtualHosts)
      .find(({ name }) => name === service)
      ?.routes.map(({ action }) => (action.kind === "forward" ? action.timeoutMs : undefined));
  assert.deepEqual(timeoutIn("shop/reviews:80"), [77_000]);
  assert.notDeepEqual(timeoutIn("other/reviews:80"), [77_000]);
});

test("what the owner of a target says comes before what others were granted to say, however old that is", () => {
  const granted = grant("good", "group: heddle.dev, kind: TrafficPolicy, namespace: other", 'group: "", kind: Service');
  const owners = `---
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: zzz, namespace: shop, creationTimestamp: "2026-01-02T00:00:00Z" }
spec: { targetRefs: [{ name: reviews }], timeouts: { request: 55s } }
`;
  const mesh = makeMesh(client("shop") + reviews + owners + stranger("TrafficPolicy", "name: reviews"));
  assert.equal(conditionsOf(mesh, "TrafficPolicy").join(), "Accepted True Accepted,ResolvedRefs True ResolvedRefs");
  mesh.put(granted);
  const told = textOf(given(mesh, "shop/client-1"));
  assert.deepEqual(
    [...told.matchAll(/"timeoutMs":(55000|77000)/g)].map(([, ms]) => ms),
    ["55000"],
  );
  const conflicts = conflictsOf(mesh.store.current?.resources ?? []);
  assert.deepEqual(
    conflicts.map(({ policy, winner }) => [policy.metadata.name, winner.metadata.name]),
    [["stranger", "zzz"]],
  );
});

/** How the other namespace's own service is called may differ: its PeerAuthentication says so. */
function comparable({ listeners, routes, virtualHosts, clusters, endpoints, secrets }: ReturnType<typeof given>) {
  const others = <Value>(map: ReadonlyMap<string, Value>): ReadonlyMap<string, Value> =>
    new Map([...map].filter(([name]) => !name.includes("/other/")));
  return { listeners, routes, virtualHosts, secrets, clusters: others(clusters), endpoints: others(endpoints) };
}

function textOf(resources: ReturnType<typeof given>): string {
  return JSON.stringify(Object.values(comparable(resources)).map((map: ReadonlyMap<string, unknown>) => [...map]));
}

test("a name of another namespace's service cannot be claimed, by HTTP_PROXY or by gRPC's xDS", () => {
  const names = ["reviews.shop", "reviews.shop.svc", "reviews.shop.svc.cluster.local", "reviews"];
  const mesh = makeMesh(
    client("shop") + reviews + intruder([...names, '"*.shop.svc.cluster.local"', '"*.cluster.local"'].join(", ")),
  );
  for (const name of names) assert.equal(ownerOf(mesh, "shop", name), "shop/reviews:80", name);
  for (const name of ["*.shop.svc.cluster.local", "*.cluster.local"])
    assert.equal(ownerOf(mesh, "shop", name), undefined);
  const listener = given(mesh, "shop/client-1", "grpc").listeners.get("reviews.shop:80");
  assert.match(JSON.stringify(listener), /"name":"outbound\/shop\/reviews\/80"/);
});

test("a service that is not there yet cannot be claimed either", () => {
  const mesh = makeMesh(client("shop") + intruder("ratings.shop.svc.cluster.local, ratings"));
  assert.equal(ownerOf(mesh, "shop", "ratings.shop.svc.cluster.local"), undefined);
  assert.equal(ownerOf(mesh, "shop", "ratings"), undefined);
});

test("of several services with one host that of the client's own namespace is meant", () => {
  const own = entry("shop", "maps", `hosts: [maps.example.com], ${http()}`);
  const mesh = makeMesh(client("shop") + client("other", "10.0.9.2") + own + intruder("maps.example.com"));
  assert.equal(ownerOf(mesh, "shop", "maps.example.com"), "shop/maps:80");
  assert.equal(ownerOf(mesh, "other", "maps.example.com"), "aaa/intruder:80");
});

/** Listeners by the address that leads a captured pod's connections to them. */
function ledTo(mesh: TestMesh, address: string): readonly string[] {
  return [...given(mesh, "shop/pod-1").listeners.values()]
    .filter((listener) => !listener.bindToPort && listener.direction === "outbound")
    .filter((listener) =>
      [listener.address, ...(listener.additionalAddresses ?? [])].some((one) => formatAddress(one) === address),
    )
    .map(({ name }) => name);
}

test("an endpoint that somebody writes does not speak for another namespace's pod, instance or virtual address", () => {
  const pod = (namespace: string, name: string, address: string): RegistryWorkload => ({
    namespace,
    name,
    addresses: [address],
    labels: {},
    serviceAccount: name,
    sidecar: {
      inbound: {},
      outbound: [],
      capture,
      httpProxyPort: undefined,
      adminPort: undefined,
      metricsPort: undefined,
    },
  });
  const known = entry(
    "shop",
    "reviews",
    `${http()}, endpoints: [{ name: r-1, address: 10.0.1.1 }]`,
    '{ test/addresses: "10.96.0.1" }',
  );
  const thief = entry(
    "aaa",
    "thief",
    `${http()}, endpoints: [{ name: a, address: 10.0.1.1 }, { name: b, address: 10.96.0.1 }, { name: c, address: 10.0.1.2 }, { name: d, address: 10.0.6.6 }]`,
  );
  const mesh = makeMesh(known + thief, [pod("shop", "pod-1", "10.0.1.9"), pod("shop", "pod-2", "10.0.1.2")]);
  assert.deepEqual(ledTo(mesh, "10.0.1.1:80"), ["direct/shop/reviews/80"]);
  assert.deepEqual(ledTo(mesh, "10.96.0.1:80"), ["outbound/shop/reviews/80@captured"]);
  assert.deepEqual(ledTo(mesh, "10.0.1.2:80"), []);
  assert.deepEqual(ledTo(mesh, "10.0.6.6:80"), ["direct/aaa/thief/80"]);
});
