import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeInfo } from "#config/model/bootstrap.ts";
import { makeMesh, nodeOf, type TestMesh } from "./testing/make-mesh.ts";

const instances = [
  ["a", "eu", "eu-1"],
  ["b", "eu", "eu-1"],
  ["c", "eu", "eu-2"],
  ["d", "us", "us-1"],
  ["e", "ap", "ap-1"],
] as const;

const clients = [
  ["here", "eu", "eu-1"],
  ["there", "us", "us-1"],
  ["nowhere", "", ""],
] as const;

function mesh(locality: string): TestMesh {
  const endpoints = instances.map(
    ([name, region, zone], i) =>
      `    - { name: reviews-${name}, address: 10.0.0.${i + 1}, labels: { region: ${region}, zone: ${zone} } }`,
  );
  const callers = clients.map(
    ([name, region, zone], i) =>
      `    - { name: ${name}, address: 10.0.1.${i + 1}, labels: { ${region === "" ? "" : `region: ${region}, zone: ${zone}`} }, sidecar: { outbound: [{ service: reviews, port: 80, listen: ${9001 + i} }] } }`,
  );
  return makeMesh(`
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: reviews, namespace: shop }
spec:
  ports: [{ name: http, port: 80, protocol: HTTP }]
  endpoints:
${endpoints.join("\n")}
---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: callers, namespace: shop }
spec:
  ports: [{ name: http, port: 80, protocol: HTTP }]
  endpoints:
${callers.join("\n")}
---
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: reviews, namespace: shop }
spec:
  targetRefs: [{ group: "", kind: Service, name: reviews }]
  loadBalancing: { policy: roundRobin, locality: ${locality} }
`);
}

/** `zone: priority` or `zone: priority*weight` of the localities that a client is told of. */
function seenBy({ source }: TestMesh, client: string, more: Partial<NodeInfo> = {}, withWeights = false): unknown {
  const resources = source.resourcesFor({ ...nodeOf(`shop/${client}`), ...more }, "heddle");
  const assignment = resources?.endpoints.get("outbound/shop/reviews/80");
  return Object.fromEntries(
    (assignment?.localities ?? []).map(({ zone, priority, weight }) => [
      zone,
      withWeights ? `${priority}*${weight}` : priority,
    ]),
  );
}

test("the nearest endpoints come first: zone, region, regions in their order of failover, the rest", () => {
  const near = mesh("{ failover: [{ from: eu, to: [ap] }] }");
  assert.deepEqual(seenBy(near, "here"), { "eu-1": 0, "eu-2": 1, "ap-1": 2, "us-1": 3 });
  assert.deepEqual(seenBy(near, "there"), { "us-1": 0, "eu-1": 1, "eu-2": 1, "ap-1": 1 });
});

test("a client that does not know where it is sees all alike, one that says so itself does not", () => {
  const near = mesh("{}");
  assert.deepEqual(seenBy(near, "nowhere"), { "eu-1": 0, "eu-2": 0, "us-1": 0, "ap-1": 0 });
  const again = mesh("{}");
  const says = { region: "eu", zone: "eu-2" };
  assert.deepEqual(seenBy(again, "nowhere", says), { "eu-2": 0, "eu-1": 1, "us-1": 2, "ap-1": 2 });
});

test("shares are divided among the zones of a region, and what has none is the reserve", () => {
  const shared = mesh("{ distribute: [{ from: eu/eu-1, to: { eu: 75, us/us-1: 25 } }] }");
  const cluster = shared.source.resourcesFor(nodeOf("shop/here"), "heddle")?.clusters.get("outbound/shop/reviews/80");
  assert.equal(cluster?.weighsLocalities, true);
  assert.deepEqual(seenBy(shared, "here", {}, true), {
    "eu-1": "0*500000",
    "eu-2": "0*250000",
    "us-1": "0*250000",
    "ap-1": "1*1",
  });
  assert.deepEqual(seenBy(shared, "there"), { "us-1": 0, "eu-1": 1, "eu-2": 1, "ap-1": 1 });
});

test("clients of one place share an assignment, and without such a policy all do", () => {
  const near = mesh("{}");
  const of = ({ source }: TestMesh, client: string, more: Partial<NodeInfo> = {}): unknown =>
    source.resourcesFor({ ...nodeOf(`shop/${client}`), ...more }, "heddle")?.endpoints.get("outbound/shop/reviews/80");
  assert.notEqual(of(near, "here"), of(near, "there"));
  assert.equal(of(near, "here"), of(near, "nowhere", { region: "eu", zone: "eu-1" }));
  const any = mesh("{ mode: any }");
  assert.equal(of(any, "here"), of(any, "there"));
});

test("near endpoints that fail lead on without a policy of outlier detection", () => {
  const outlierOf = (locality: string): unknown =>
    mesh(locality).source.resourcesFor(nodeOf("shop/here"), "heddle")?.clusters.get("outbound/shop/reviews/80")
      ?.outlier;
  assert.equal(outlierOf("{ mode: any }"), undefined);
  assert.notEqual(outlierOf("{}"), undefined);
});
