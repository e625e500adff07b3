import assert from "node:assert/strict";
import { test } from "node:test";
import { loadText } from "../load/load.ts";
import { validateAll } from "./analyze.ts";
import { findNoEffect } from "./no-effect.ts";

function warningsOf(yaml: string): string[] {
  const loaded = loadText(yaml, "test.yaml");
  const { resources } = validateAll(loaded.documents, loaded.errors);
  return resources.flatMap(findNoEffect).map(({ line, message }) => `${line} ${message}`);
}

const policy = (target: string, retries: string): string => `
apiVersion: heddle.dev/v1alpha1
kind: TrafficPolicy
metadata: { name: cart, namespace: shop }
spec:
  targetRefs: [${target}]
  retries: ${retries}
`;
const route = "{ group: gateway.networking.k8s.io, kind: HTTPRoute, name: cart }";

test("a retry budget that is written for a route is warned of; one for a service, or that defaults fill in, is not", () => {
  const budget = "{ budget: { percent: 10, minConcurrency: 2 } }";
  assert.match(warningsOf(policy(route, budget))[0] ?? "", /^7 .*a route has no retry budget of its own/);
  assert.deepEqual(warningsOf(policy(route, "{ attempts: 3 }")), []);
  assert.deepEqual(warningsOf(policy("{ name: cart }", budget)), []);
});

test("a MeshConfig without tenants has nothing to be warned of", () => {
  const mesh = (spec: string): string =>
    `apiVersion: heddle.dev/v1alpha1\nkind: MeshConfig\nmetadata: { name: default }\nspec: ${spec}\n`;
  assert.deepEqual(warningsOf(mesh("{ outboundMtls: auto, outboundPolicy: deny }")), []);
  assert.deepEqual(warningsOf(mesh("{}")), []);
});

test("a concurrency limit of a route, and a bulkhead of a subset, are warned of", () => {
  const block = (target: string, text: string): string => policy(target, "{ attempts: 1 }") + `  ${text}\n`;
  const subset = "{ group: heddle.dev, kind: ServiceSubset, name: v2 }";
  assert.match(warningsOf(block(route, "adaptiveConcurrency: {}"))[0] ?? "", /^8 .*a route has no concurrency limit/);
  assert.match(
    warningsOf(block(subset, "bulkhead: { maxConcurrent: 1 }"))[0] ?? "",
    /^8 .*part of a service's endpoints/,
  );
  assert.deepEqual(warningsOf(block(route, "bulkhead: { maxConcurrent: 1 }")), []);
});

test("what a route's policy says of connections and endpoints is warned of field by field", () => {
  const blocks =
    "timeouts: { request: 1s, connect: 1s }\n  outlierDetection: {}\n  loadBalancing: { policy: random }\n  circuitBreaker: {}";
  const yaml = (target: string): string => policy(target, "{ attempts: 1 }") + `  ${blocks}\n`;
  assert.deepEqual(
    warningsOf(yaml(route)).map(
      (text) => /^\d+|no \S+ of its own/g.exec(text)?.[0] + (/no (\S+) of/.exec(text)?.[1] ?? ""),
    ),
    ["9outlierDetection", "10loadBalancing", "8timeouts.connect"],
  );
  assert.deepEqual(warningsOf(yaml("{ name: cart }")), []);
});
