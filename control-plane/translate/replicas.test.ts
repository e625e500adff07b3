// Two control planes at the same state give proxies the same: a proxy that moves from one to the other is sent nothing.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { silentLog } from "#lib/log.ts";
import { Encoder } from "../discovery/encoded-resource.ts";
import { makeMesh, nodeOf, type TestMesh } from "./testing/make-mesh.ts";

const folder = new URL("testdata/", import.meta.url);

/** Versions as they are on the wire, by proxy, kind and name. */
function versionsOf({ store, source }: TestMesh): ReadonlyMap<string, string> {
  const versions = new Map<string, string>();
  const encoder = new Encoder(silentLog);
  for (const id of store.current?.tables.workloads.keys() ?? []) {
    const resources = source.resourcesFor(nodeOf(id), "heddle");
    assert.ok(resources !== undefined);
    for (const [kind, encoded] of Object.entries(encoder.encode(resources).resources))
      for (const [name, { version }] of encoded) versions.set(`${id} ${kind} ${name}`, version);
  }
  return new Map([...versions].toSorted(([left], [right]) => (left < right ? -1 : 1)));
}

const service = (name: string, port: number): string => `
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: shop, annotations: { test/addresses: 10.0.0.${port}, test/capture: "yes" } }
spec:
  ports: [{ name: http, port: ${port} }]
  endpoints: [{ name: pod-1, address: 10.1.0.1, labels: { from: ${name} }, sidecar: { inbound: { http: 150${port} } } }]
`;
const cases = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith(".in.yaml"))
    .map((name) => [name, readFileSync(new URL(name, folder), "utf8")]),
);
cases.set("a pod of two services", `${service("b", 81)}---${service("a", 82)}`);

for (const [title, text] of cases) {
  test(`a control plane that saw ${title} in another order, and another history, gives the same versions`, () => {
    const first = makeMesh(text);
    const second = makeMesh(text.split(/^---$/m).toReversed().join("\n---\n"));
    const [name = ""] = [...(second.store.current?.tables.services.keys() ?? [])];
    second.put(`apiVersion: heddle.dev/v1alpha1
kind: PeerAuthentication
metadata: { name: passing, namespace: ${name.split("/")[0]} }
spec: { mode: DISABLE }
`);
    second.remove("PeerAuthentication", "passing");
    assert.notEqual(second.store.current?.version, first.store.current?.version);
    assert.equal(second.store.current?.hash, first.store.current?.hash);
    assert.deepEqual(second.store.current?.tables.workloads, first.store.current?.tables.workloads);
    assert.deepEqual(versionsOf(second), versionsOf(first));
  });
}
