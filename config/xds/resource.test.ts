import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { Labels } from "../model/route.ts";
import { Cluster_LbPolicy, ClusterSchema } from "./gen/envoy/config/cluster/v3/cluster_pb.ts";
import { ClusterLoadAssignmentSchema } from "./gen/envoy/config/endpoint/v3/endpoint_pb.ts";
import { RouteConfigurationSchema } from "./gen/envoy/config/route/v3/route_pb.ts";
import { ResourceError, type DecodeOptions } from "./issues.ts";
import { decodeResource, encodeResource, resourceName, versionOf, type ResourceModel } from "./resource.ts";
import { KNOWN_ENVOY_FILTER, KNOWN_FILTER } from "./testing/generators.ts";
import { generators } from "./testing/resource-generators.ts";
import { CLUSTER_TYPE_URL, ENDPOINT_TYPE_URL, ROUTE_TYPE_URL, TYPE_URLS } from "./type-urls.ts";

const options: DecodeOptions = { knownFilters: new Set([KNOWN_FILTER, KNOWN_ENVOY_FILTER]) };

describe("a resource", () => {
  for (const kind of Object.keys(generators) as (keyof typeof generators)[]) {
    it(`${kind} comes back from the wire as it went out`, () => {
      fc.assert(
        fc.property(generators[kind] as fc.Arbitrary<ResourceModel["model"]>, (model) => {
          // The clone has ordinary prototypes, which fast-check's records have only sometimes.
          const resource = structuredClone({ kind, model }) as ResourceModel;
          const wire = encodeResource(resource);
          const back = decodeResource(TYPE_URLS[kind], wire, options);
          assert.deepStrictEqual(back, { ...resource, name: resourceName(resource) });
          assert.equal(versionOf(encodeResource(back)), versionOf(wire));
        }),
        { numRuns: 30 },
      );
    });
  }

  it("has a version of 16 characters that changes with its content alone", () => {
    assert.match(versionWith("a", {}), /^[\w-]{16}$/);
    assert.equal(versionWith("a", {}), versionWith("a", {}));
    assert.notEqual(versionWith("a", {}), versionWith("b", {}));
  });

  it("has equal bytes whatever the order in which labels were put in", () => {
    assert.equal(versionWith("a", { a: "1", b: "2" }), versionWith("a", { b: "2", a: "1" }));
  });

  it("of a type that no resource has is refused", () => {
    assert.throws(() => decodeResource("type.googleapis.com/a.B", new Uint8Array(), options), ResourceError);
  });

  it("that is no message is refused with its type", () => {
    assert.throws(
      () => decodeResource(CLUSTER_TYPE_URL, Buffer.from("not protobuf"), options),
      /cannot be read as envoy.config.cluster.v3.Cluster/,
    );
  });

  it("lists everything that is wrong with it at once", () => {
    const cluster = create(ClusterSchema, {
      name: "",
      respectDnsTtl: true,
      trackTimeoutBudgets: true,
      connectTimeout: {},
    });
    const paths = issuesOf(CLUSTER_TYPE_URL, toBinary(ClusterSchema, cluster), options);
    assert.deepEqual(paths.toSorted(), ["connect_timeout", "name", "respect_dns_ttl", "track_timeout_budgets"]);
  });

  it("lets a field through by its path or by its full name, and no other", () => {
    const cluster = create(ClusterSchema, { name: "a", respectDnsTtl: true, trackTimeoutBudgets: true });
    const bytes = toBinary(ClusterSchema, cluster);
    for (const name of ["respect_dns_ttl", "envoy.config.cluster.v3.Cluster.respect_dns_ttl"]) {
      assert.deepEqual(issuesOf(CLUSTER_TYPE_URL, bytes, { ...options, allowUnsupported: new Set([name]) }), [
        "track_timeout_budgets",
      ]);
    }
  });

  it("refuses a Maglev table whose size is no prime", () => {
    const issuesWith = (tableSize: bigint): string[] => {
      const lbConfig = { case: "maglevLbConfig", value: { tableSize } } as const;
      const cluster = create(ClusterSchema, { name: "a", lbPolicy: Cluster_LbPolicy.MAGLEV, lbConfig });
      return issuesOf(CLUSTER_TYPE_URL, toBinary(ClusterSchema, cluster), options);
    };
    assert.deepEqual(issuesWith(97n), []);
    assert.deepEqual(issuesWith(65_536n), ["maglev_lb_config.table_size"]);
  });

  it("refuses what Envoy refuses without a rule: the removal of routing, and durations below zero", () => {
    const match = { pathSpecifier: { case: "prefix", value: "/" } } as const;
    const issuesWith = (timeout: bigint, remove: string): string[] => {
      const action = { clusterSpecifier: { case: "cluster", value: "c" }, timeout: { seconds: timeout } } as const;
      const route = { match, action: { case: "route", value: action } as const, requestHeadersToRemove: [remove] };
      const virtualHosts = [{ name: "v", domains: ["*"], routes: [route] }];
      const table = create(RouteConfigurationSchema, { name: "r", virtualHosts });
      return issuesOf(ROUTE_TYPE_URL, toBinary(RouteConfigurationSchema, table), options);
    };
    assert.deepEqual(issuesWith(1n, "x-a"), []);
    assert.deepEqual(issuesWith(1n, ":path"), ["virtual_hosts[0].routes[0].request_headers_to_remove[0]"]);
    assert.deepEqual(issuesWith(1n, "Host"), ["virtual_hosts[0].routes[0].request_headers_to_remove[0]"]);
    assert.deepEqual(issuesWith(-1n, "x-a"), ["virtual_hosts[0].routes[0].route.timeout"]);
  });

  it("never ignores a field whose number it does not know", () => {
    const known = toBinary(ClusterSchema, create(ClusterSchema, { name: "a" }));
    // Field 9999, a varint.
    const bytes = Buffer.concat([known, Buffer.from([0xf8, 0xf0, 0x04, 0x01])]);
    assert.throws(
      () => decodeResource(CLUSTER_TYPE_URL, bytes, options),
      /field number 9999 of envoy.config.cluster.v3.Cluster is unknown/,
    );
  });

  it("of endpoints must have an identity where it has a mesh hop", () => {
    const metadata = { filterMetadata: { "heddle.mesh": { inboundPort: 15006 } } };
    const address = {
      case: "socketAddress",
      value: { address: "10.0.0.1", portSpecifier: { case: "portValue", value: 1 } },
    } as const;
    const endpoint = { case: "endpoint", value: { address: { address } } } as const;
    const lbEndpoints = [{ hostIdentifier: endpoint, metadata }];
    const wire = create(ClusterLoadAssignmentSchema, { clusterName: "a", endpoints: [{ lbEndpoints }] });
    const paths = issuesOf(ENDPOINT_TYPE_URL, toBinary(ClusterLoadAssignmentSchema, wire), options);
    assert.deepEqual(paths, ['endpoints[0].lb_endpoints[0].metadata.filter_metadata["heddle.mesh"].identity']);
  });
});

function issuesOf(typeUrl: string, bytes: Uint8Array, decodeOptions: DecodeOptions): string[] {
  try {
    decodeResource(typeUrl, bytes, decodeOptions);
  } catch (error) {
    if (error instanceof ResourceError) return error.issues.map((issue) => issue.path);
    throw error;
  }
  return [];
}

/** The version of an assignment with one endpoint of these labels. */
function versionWith(cluster: string, labels: Labels): string {
  const endpoint = { address: "10.0.0.1", port: 80, hostname: "", health: "healthy", weight: 1 } as const;
  const endpoints = [{ ...endpoint, labels, transportSocket: {}, mesh: { kind: "none" } as const }];
  const localities = [{ region: "", zone: "", subZone: "", priority: 0, weight: 1, endpoints }];
  return versionOf(encodeResource({ kind: "endpoints", model: { cluster, localities, overprovisioningFactor: 140 } }));
}
