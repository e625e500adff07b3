// Which blocks of TrafficPolicy hold for a service, a port, a subset, a route or one rule: the most specific one that has a block.
import type { Timeouts } from "#config/schema/traffic/timeouts.ts";
import type { TrafficPolicySpec } from "#config/schema/traffic-policy.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { keyOfTarget, targetKey, type RouteResource } from "../../mesh/snapshot.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { meshConfigOf } from "../scope.ts";

export interface TrafficTarget {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: ServicePort;
  readonly subset?: string | undefined;
  readonly route?: RouteResource | undefined;
  readonly rule?: string | undefined;
}

export type TrafficBlocks = Omit<TrafficPolicySpec, "targetRefs"> & {
  /** Which object gave the block `retries`, for records: `TrafficPolicy shop/reviews`. */
  readonly retriesFrom?: string;
};

interface Level {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly section: string | undefined;
}

/** Each block whole from the most specific policy that has it; timeouts field by field. */
export function trafficFor(reader: MeshReader, target: TrafficTarget): TrafficBlocks {
  let blocks: TrafficBlocks = {};
  let timeouts: Timeouts = {};
  // From the least specific on, so that what comes later wins.
  for (const layer of layersOf(reader, target)) {
    timeouts = { ...timeouts, ...layer.timeouts };
    blocks = { ...blocks, ...layer };
  }
  return { ...blocks, timeouts };
}

function* layersOf(reader: MeshReader, target: TrafficTarget): Generator<TrafficBlocks> {
  yield { ...meshConfigOf(reader).defaults, retriesFrom: "MeshConfig default" };
  for (const level of levelsOf(target)) {
    const key = targetKey(level.kind, level.namespace, level.name);
    const policies = reader.get("trafficPolicies", key) ?? [];
    // Of two policies for one target the first holds: the owner's, the oldest, the first by name. So it comes last.
    for (const policy of policies.toReversed()) {
      const isTargeted = policy.spec.targetRefs.some(
        (ref) => keyOfTarget(policy, ref) === key && ref.sectionName === level.section,
      );
      if (!isTargeted) continue;
      const { targetRefs: _, ...blocks } = policy.spec;
      const { namespace, name } = policy.metadata;
      yield blocks.retries === undefined ? blocks : { ...blocks, retriesFrom: `TrafficPolicy ${namespace}/${name}` };
    }
  }
}

function levelsOf({ service, port, subset, route, rule }: TrafficTarget): readonly Level[] {
  const [namespace = "", name = ""] = service.split("/");
  const levels: Level[] = [
    { kind: "Service", namespace, name, section: undefined },
    { kind: "Service", namespace, name, section: port.name },
  ];
  if (subset !== undefined) levels.push({ kind: "ServiceSubset", namespace, name: subset, section: undefined });
  if (route !== undefined) {
    const { metadata, kind } = route;
    levels.push({ kind, namespace: metadata.namespace, name: metadata.name, section: undefined });
    if (rule !== undefined) levels.push({ kind, namespace: metadata.namespace, name: metadata.name, section: rule });
  }
  return levels;
}
