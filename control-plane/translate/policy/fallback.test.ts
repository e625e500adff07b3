// A fallback's service: what proxies are given of it, who lets whom ask whom, and what status says.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonValue } from "#config/model/filter-config.ts";
import { statusOf } from "../status.ts";
import { makeMesh, nodeOf, type TestMesh } from "../testing/make-mesh.ts";

const mesh = (): string =>
  [
    entry(
      "shop",
      "web",
      "sidecar: { inbound: { http: 19001 }, outbound: [{ service: cart, port: 80, listen: 19002 }] }",
    ),
    entry("shop", "cart", "labels: { version: v1 }"),
    entry("shop", "spare", ""),
    entry("far", "spare", "labels: { version: v2 }"),
    "---\napiVersion: heddle.dev/v1alpha1\nkind: ServiceSubset\nmetadata: { name: v2, namespace: far }\nspec: { service: spare, labels: { version: v2 } }\n",
  ].join("");

function entry(namespace: string, name: string, more: string): string {
  return `---
apiVersion: heddle.dev/v1alpha1
kind: ServiceEntry
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ports: [{ name: http, port: 80, protocol: HTTP }]
  endpoints: [{ name: ${name}-1, address: 10.0.0.1, ${more} }]
`;
}

function policy(backend: string, more = ""): string {
  return `---
apiVersion: heddle.dev/v1alpha1
kind: FallbackPolicy
metadata: { name: f, namespace: shop }
spec:
  targetRefs: [{ kind: Service, name: cart }]
  service: { backendRef: { ${backend}, port: 80 }${more} }
`;
}

const grant = `---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: g, namespace: far }
spec:
  from: [{ group: heddle.dev, kind: FallbackPolicy, namespace: shop }]
  to: [{ group: "", kind: Service, name: spare }]
`;

/** What the client's filter is told of the service, the clusters that it is given, and the policy's resolution. */
function given({ source, store }: TestMesh) {
  const resources = source.resourcesFor(nodeOf("shop/web-1"), "heddle") ?? assert.fail("nothing is given");
  const { filters } = [...resources.listeners.values()].flatMap((listener) =>
    listener.filterChains.concat(listener.defaultFilterChain ?? []).flatMap(({ network }) => {
      const found =
        network.kind === "http" ? network.http.filters.filter(({ name }) => name === "heddle.fallback") : [];
      return found.length === 0 || found[0]?.disabled === true ? [] : [{ filters: found }];
    }),
  )[0] ?? { filters: [] };
  const config = filters[0]?.config as { readonly service?: JsonValue } | undefined; // as: the control plane wrote it
  const status = statusOf(store.current ?? assert.fail("no snapshot")).find(({ kind }) => kind === "FallbackPolicy");
  const resolved = status?.conditions.find(({ type }) => type === "ResolvedRefs");
  return { service: config?.service, clusters: [...resources.clusters.keys()], reason: resolved?.reason };
}

test("a client's proxy is given the other service with its cluster", () => {
  const { service, clusters, reason } = given(makeMesh(mesh() + policy("name: spare", ", timeout: 2s")));
  assert.deepEqual(service, { cluster: "outbound/shop/spare/80", subset: [], timeoutMs: 2000 });
  assert.ok(clusters.includes("outbound/shop/spare/80"), clusters.join(" "));
  assert.equal(reason, "ResolvedRefs");
});

test("a service of another namespace, whole or a subset, is asked with its grant alone", () => {
  const to = "name: v2, namespace: far, group: heddle.dev, kind: ServiceSubset";
  const one = makeMesh(mesh() + policy(to));
  assert.deepEqual([given(one).service, given(one).reason], [undefined, "RefNotPermitted"]);
  one.put(grant.replace("kind: FallbackPolicy", "kind: HTTPRoute"));
  assert.equal(given(one).reason, "RefNotPermitted", "a grant for others is none");
  one.put(grant);
  assert.deepEqual(given(one), {
    service: { cluster: "outbound/far/spare/80", subset: [{ key: "version", value: "v2" }] },
    clusters: given(one).clusters,
    reason: "ResolvedRefs",
  });
  assert.ok(given(one).clusters.includes("outbound/far/spare/80"));
});

test("a service that is not there is said, and comes into force when it is", () => {
  const one = makeMesh(mesh() + policy("name: later"));
  assert.deepEqual([given(one).service, given(one).reason], [undefined, "BackendNotFound"]);
  one.put(entry("shop", "later", ""));
  assert.deepEqual(given(one).service, { cluster: "outbound/shop/later/80", subset: [] });
});

test("a server's own sidecar asks nobody else, and one of the three answers must be there", () => {
  assert.throws(() => makeMesh(mesh() + policy("name: spare") + "  direction: inbound\n"), /asks nobody else/);
  assert.throws(
    () => makeMesh(mesh() + policy("name: spare").replace(/ {2}service.*\n/, "")),
    /at least one of service, cached, static/,
  );
});
