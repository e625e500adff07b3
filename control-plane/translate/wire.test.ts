// What is generated must be sayable in xDS, and be read back as it was.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeResource, encodeResource, type ResourceModel } from "#config/xds/resource.ts";
import { TYPE_URLS } from "#config/xds/type-urls.ts";
import { envoyFaultType, envoyRateLimitType, filterTypes } from "./filter-types.ts";
import { makeMesh, nodeOf } from "./testing/make-mesh.ts";

const folder = new URL("testdata/", import.meta.url);
const knownFilters = new Set<string>([
  ...Object.values(filterTypes).map(({ typeUrl }) => typeUrl),
  envoyFaultType,
  envoyRateLimitType,
]);

for (const file of readdirSync(folder).filter((name) => name.endsWith(".in.yaml"))) {
  test(`everything that ${file} becomes is read back from xDS as it was`, () => {
    const mesh = makeMesh(readFileSync(new URL(file, folder), "utf8"));
    for (const id of mesh.store.current?.tables.workloads.keys() ?? []) {
      for (const dialect of ["heddle", "envoy"] as const) {
        const resources = mesh.source.resourcesFor(nodeOf(id), dialect);
        assert.ok(resources);
        const { listeners, routes, clusters, endpoints } = resources;
        for (const model of listeners.values()) checkRoundTrip({ kind: "listener", model });
        for (const model of routes.values()) checkRoundTrip({ kind: "route", model });
        for (const model of clusters.values()) checkRoundTrip({ kind: "cluster", model });
        for (const model of endpoints.values()) checkRoundTrip({ kind: "endpoints", model });
      }
    }
  });
}

function checkRoundTrip(resource: ResourceModel): void {
  const decoded = decodeResource(TYPE_URLS[resource.kind], encodeResource(resource), { knownFilters });
  assert.deepEqual(comparable(decoded), comparable(resource));
}

/** A cluster that speaks HTTP/1 has no room for settings of HTTP/2 on the wire. */
function comparable(resource: ResourceModel): unknown {
  if (resource.kind !== "cluster" || resource.model.http.protocol !== "http1") return resource.model;
  return { ...resource.model, http: { ...resource.model.http, http2: undefined } };
}
