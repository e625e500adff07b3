// Makes the listener and the clusters of a case from documents of Kubernetes: the control plane translates them for each proxy.
import { fromBinary, toJson, type DescMessage } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

import { toYaml } from "#config/load/yaml-documents.ts";
import { registry } from "#config/xds/any.ts";
import { encodeResource, type ResourceModel } from "#config/xds/resource.ts";
import { makeMesh, nodeOf } from "#control-plane/translate/testing/make-mesh.ts";

import type { Json, Parts } from "./xds-input.ts";

export type Dialect = "envoy" | "heddle";

/** The outbound listener of `proxy` with all that it needs. */
export function crdParts(documents: readonly object[], proxy: string | undefined, dialect: Dialect): Parts {
  const mesh = makeMesh(documents.map((document) => toYaml(document)).join("---\n"));
  const ids = [...(mesh.store.current?.tables.workloads.keys() ?? [])];
  const id = proxy ?? ids[0];
  const resources = id === undefined ? undefined : mesh.source.resourcesFor(nodeOf(id), dialect);
  if (resources === undefined) throw new Error(`there is no proxy ${id ?? ""}: ${ids.join()}`);
  const listener = [...resources.listeners.values()].find(({ direction }) => direction === "outbound");
  if (listener === undefined) throw new Error(`${id} has no outbound listener`);
  const tables = new Map([...resources.routes].map(([name, model]) => [name, jsonOf({ kind: "route", model })]));
  const assignments = new Map(
    [...resources.endpoints].map(([name, model]) => [name, jsonOf({ kind: "endpoints", model })]),
  );
  const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
  return {
    listener: { ...inlineRoutes(jsonOf({ kind: "listener", model: listener }), tables), address },
    clusters: [...resources.clusters.values()].map((model) =>
      inlineEndpoints(jsonOf({ kind: "cluster", model }), assignments),
    ),
  };
}

function jsonOf(resource: ResourceModel): Json {
  const any: Any = encodeResource(resource);
  const schema: DescMessage | undefined = registry.getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1));
  if (schema === undefined) throw new Error(`the registry has no ${any.typeUrl}`);
  const json = toJson(schema, fromBinary(schema, any.value), { registry, useProtoFieldName: true });
  return json as Json; // as: a message is an object
}

/** What comes by RDS stands in the listener. */
function inlineRoutes(node: Json, tables: ReadonlyMap<string, Json>): Json {
  return mapObjects(node, (object) => {
    const { rds, ...rest } = object;
    if (rds === undefined) return object;
    const name = String((rds as Json)["route_config_name"]); // as: a message of RDS
    const table = tables.get(name);
    if (table === undefined) throw new Error(`there is no route table ${name}`);
    return { ...rest, route_config: table };
  });
}

/** What comes by EDS stands in the cluster. */
function inlineEndpoints(cluster: Json, assignments: ReadonlyMap<string, Json>): Json {
  const { eds_cluster_config: eds, ...rest } = cluster;
  if (eds === undefined) return cluster;
  const name = String((eds as Json)["service_name"] ?? cluster["name"]); // as: a message of EDS
  const assignment = assignments.get(name) ?? {};
  return { ...rest, type: "STATIC", load_assignment: { ...assignment, cluster_name: cluster["name"] } };
}

function mapObjects(node: Json, change: (object: Json) => Json): Json {
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit);
    if (typeof value !== "object" || value === null) return value;
    return change(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item)])));
  };
  return visit(node) as Json; // as: an object stays one
}
