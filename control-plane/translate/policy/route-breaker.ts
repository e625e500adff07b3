// A circuit breaker of a route's own, in the place of those of its backends: settings of our filter.
import type { FilterOverride } from "#config/model/filter-config.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { filterTypes } from "../filter-types.ts";
import { breaker } from "./cluster.ts";
import type { PolicyRule } from "./policy-filters.ts";
import { ruleBlock } from "./rule-block.ts";

export function breakerOverride(
  reader: MeshReader,
  target: Pick<PolicyRule, "service" | "port" | "route" | "rule">,
): readonly FilterOverride[] {
  const own = ruleBlock(reader, target, ({ circuitBreaker }) => circuitBreaker);
  const policy = own && breaker({ circuitBreaker: own.block });
  if (own === undefined || policy === undefined) return [];
  const { name, typeUrl } = filterTypes.circuitBreaker;
  return [{ filter: name, typeUrl, config: { rule: own.scope, policy: { ...policy } }, disabled: false }];
}
