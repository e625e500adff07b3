// Golden case: testdata/cluster.in.yaml beside what the registry makes of it. `UPDATE_GOLDEN=1` writes the second again.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { parseYaml, toYaml } from "#config/load/yaml-documents.ts";
import type { Labels } from "#config/model/route.ts";
import { objectKey, tryObject, type KubernetesObject } from "../../kubernetes/objects.ts";
import { parsePod, workloadOf, type PodRecord } from "./pod.ts";
import { parseService, parseSlice } from "./service.ts";
import { translateService } from "./translate.ts";

const folder = new URL("testdata/", import.meta.url);
const nodes: Readonly<Record<string, Labels>> = {
  "node-1": { region: "eu", zone: "a" },
  "node-2": { region: "eu", zone: "b" },
};

function readObjects(): readonly KubernetesObject[] {
  const { documents } = parseYaml(readFileSync(new URL("cluster.in.yaml", folder), "utf8"), "cluster.in.yaml");
  return documents.flatMap(({ value }) => tryObject(value) ?? []);
}

function translateAll(objects: readonly KubernetesObject[]) {
  const ofKind = (kind: string): readonly KubernetesObject[] => objects.filter((object) => object.kind === kind);
  const pods = new Map(
    ofKind("Pod").map((object): [string, PodRecord] => [objectKey(object.metadata), parsePod(object)]),
  );
  const slices = ofKind("EndpointSlice").flatMap((object) => parseSlice(object) ?? []);
  const localityOf = (node: string): Labels => nodes[node] ?? {};
  const view = { pod: (key: string): PodRecord | undefined => pods.get(key), localityOf };
  return {
    services: ofKind("Service")
      .flatMap((object) => parseService(object) ?? [])
      .map((service) =>
        translateService(
          service,
          slices.filter((slice) => slice.service === service.name),
          view,
        ),
      ),
    workloads: [...pods.values()].flatMap((pod) => workloadOf(pod, localityOf(pod.node)) ?? []),
  };
}

test("a cluster becomes services and workloads as written beside it", () => {
  // JSON leaves out what is undefined.
  const written = toYaml(JSON.parse(JSON.stringify(translateAll(readObjects()))) as unknown);
  const golden = new URL("cluster.out.yaml", folder);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(golden, written);
  assert.equal(written, readFileSync(golden, "utf8"));
});

test("whatever order a control plane sees the objects in, it makes the same of them", () => {
  const objects = readObjects();
  const services = translateAll(objects).services;
  const reversed = translateAll(objects.toReversed()).services;
  assert.deepEqual(reversed.toReversed(), services);
});

test("a pod without the named target port is no endpoint of that port, and of the others it is", () => {
  const service = { ...base("Service"), spec: { ports: [port("web", 80, "web"), port("metrics", 9090, "metrics")] } };
  const slice = (name: string, ports: readonly object[]) => ({
    ...base("EndpointSlice"),
    metadata: { namespace: "shop", name, labels: { "kubernetes.io/service-name": "cart" } },
    addressType: "IPv4",
    ports,
    endpoints: [{ addresses: ["10.0.0.1"], targetRef: { kind: "Pod", name: "cart", uid: "u1" } }],
  });
  const pod = { ...base("Pod"), metadata: { namespace: "shop", name: "cart", uid: "u1" } };
  const lacksOf = (...slices: readonly object[]) =>
    translateAll([service, pod, ...slices].flatMap((object) => tryObject(object) ?? [])).services[0]?.endpoints.map(
      ({ ports, lacks }) => ({ ports, lacks }),
    );
  const old = slice("old", [{ name: "web", port: 8080 }]);
  assert.deepEqual(lacksOf(old), [{ ports: { web: 8080 }, lacks: ["metrics"] }]);
  // While a pod moves between slices it has the ports of both.
  const next = slice("next", [{ name: "metrics", port: 9100 }]);
  assert.deepEqual(lacksOf(old, next), [{ ports: { web: 8080, metrics: 9100 }, lacks: undefined }]);
});

const base = (kind: string) => ({ apiVersion: "v1", kind, metadata: { namespace: "shop", name: "cart" } });
const port = (name: string, number: number, targetPort: string) => ({ name, port: number, targetPort });
