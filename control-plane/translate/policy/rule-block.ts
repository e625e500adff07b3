// A block of TrafficPolicy that a route or one of its rules has of its own, and whom it is for.
import type { MeshReader } from "../../mesh/derivation.ts";
import type { PolicyRule } from "./policy-filters.ts";
import { trafficFor, type TrafficBlocks } from "./traffic.ts";

export interface RuleBlock<Block> {
  readonly block: Block;
  /** The whole route, where its rules have the block in common; else the rule. */
  readonly scope: string;
}

/** Undefined: what holds for the service's port holds here too. */
export function ruleBlock<Block>(
  reader: MeshReader,
  { service, port, route, rule }: Pick<PolicyRule, "service" | "port" | "route" | "rule">,
  select: (blocks: TrafficBlocks) => Block | undefined,
): RuleBlock<Block> | undefined {
  const block = select(trafficFor(reader, { service, port, route, rule: rule.name }));
  if (block === undefined || block === select(trafficFor(reader, { service, port }))) return undefined;
  const whole = `${route.kind} ${route.metadata.namespace}/${route.metadata.name}`;
  const isRules = rule.name !== undefined && block !== select(trafficFor(reader, { service, port, route }));
  return { block, scope: isRules ? `${whole} rule ${rule.name}` : whole };
}
