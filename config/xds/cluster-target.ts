// Which cluster a route forwards to: one, one by header, or several by weight, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClusterTarget, WeightedCluster } from "../model/route.ts";
import { given } from "./fields.ts";
import {
  WeightedCluster_ClusterWeightSchema,
  type RouteAction,
  type RouteActionSchema,
  type WeightedCluster_ClusterWeight,
} from "./gen/envoy/config/route/v3/route_components_pb.ts";
import { routeScopeFromWire, routeScopeToWire } from "./header-mutations.ts";
import type { Scope } from "./issues.ts";
import { LB_KEY } from "./metadata-keys.ts";
import { labelsFromWire, metadataToWire } from "./metadata.ts";

/** Envoy adds weights in 32 bits. */
const MAX_TOTAL_WEIGHT = 2 ** 32 - 1;

type SpecifierInit = NonNullable<MessageInitShape<typeof RouteActionSchema>["clusterSpecifier"]>;

export function clusterTargetFromWire(wire: RouteAction, scope: Scope): ClusterTarget {
  const specifier = wire.clusterSpecifier;
  switch (specifier.case) {
    case "cluster":
      return { kind: "cluster", name: specifier.value };
    case "clusterHeader":
      return { kind: "header", name: specifier.value.toLowerCase() };
    case "weightedClusters": {
      const at = scope.field("weighted_clusters").field("clusters");
      const clusters = specifier.value.clusters.map((item, index) => weightedFromWire(item, at.at(index)));
      const total = clusters.reduce((sum, item) => sum + item.weight, 0);
      if (total === 0) at.invalid("the sum of the weights must be greater than 0");
      if (total > MAX_TOTAL_WEIGHT)
        at.invalid(`the sum of the weights must be at most ${MAX_TOTAL_WEIGHT}: got ${total}`);
      return { kind: "weighted", clusters };
    }
    case "clusterSpecifierPlugin":
    case "inlineClusterSpecifierPlugin":
    case undefined:
      // Reported already.
      return { kind: "cluster", name: "" };
  }
}

function weightedFromWire(wire: WeightedCluster_ClusterWeight, scope: Scope): WeightedCluster {
  const host = wire.hostRewriteSpecifier;
  if (wire.name === "" && wire.clusterHeader === "") scope.field("name").invalid("must not be empty");
  return {
    name: wire.name,
    weight: wire.weight ?? 0,
    subset: labelsFromWire(wire.metadataMatch, LB_KEY, scope.field("metadata_match")),
    hostRewrite: host.case === "hostRewriteLiteral" ? host.value : undefined,
    ...routeScopeFromWire(wire, scope),
  };
}

export function clusterTargetToWire(model: ClusterTarget): SpecifierInit {
  switch (model.kind) {
    case "cluster":
      return { case: "cluster", value: model.name };
    case "header":
      return { case: "clusterHeader", value: model.name };
    case "weighted":
      return { case: "weightedClusters", value: { clusters: model.clusters.map(weightedToWire) } };
  }
}

function weightedToWire(model: WeightedCluster): WeightedCluster_ClusterWeight {
  return create(WeightedCluster_ClusterWeightSchema, {
    name: model.name,
    weight: model.weight,
    ...given("metadataMatch", metadataToWire({ [LB_KEY]: model.subset })),
    ...(model.hostRewrite === undefined
      ? {}
      : { hostRewriteSpecifier: { case: "hostRewriteLiteral", value: model.hostRewrite } as const }),
    ...routeScopeToWire(model),
  });
}
