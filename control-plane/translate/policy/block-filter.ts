// Blocks of TrafficPolicy that are filters of the chain: the most specific policy that has the block says what it is.
import type { JsonValue } from "#config/model/filter-config.ts";
import { filterTypes } from "../filter-types.ts";
import type { FilterSettings, PolicyFilter, PolicyPort } from "./policy-filters.ts";
import { ruleBlock } from "./rule-block.ts";
import { trafficFor, type TrafficBlocks } from "./traffic.ts";

interface BlockFilter<Block> {
  readonly filter: keyof typeof filterTypes;
  readonly select: (blocks: TrafficBlocks) => Block | undefined;
  /** The configuration of a filter that does nothing. */
  readonly off: JsonValue;
  /** Whether the sidecar of the server, or of the client, does it. */
  readonly acts: (block: Block, direction: PolicyPort["direction"]) => boolean;
  /** No client's sidecar has anything to do with it. */
  readonly inboundOnly?: true;
  /** Policies for a route or one of its rules have a say. */
  readonly forRules: boolean;
  /** `scope` names whom it is for: a service's port or a rule. */
  readonly configOf: (block: Block, scope: string) => JsonValue;
}

export function blockFilter<Block>(of: BlockFilter<Block>): PolicyFilter {
  const { name, typeUrl } = filterTypes[of.filter];
  const settingsOf = (
    block: Block | undefined,
    direction: PolicyPort["direction"],
    scope: string,
  ): FilterSettings | undefined =>
    block === undefined || !of.acts(block, direction) ? undefined : { typeUrl, config: of.configOf(block, scope) };
  return {
    name,
    ...(of.inboundOnly === true ? { inboundOnly: true } : {}),
    settings: { typeUrl, config: of.off },
    forPort: (reader, { service, port, direction }) =>
      settingsOf(of.select(trafficFor(reader, { service, port })), direction, `Service ${service}:${port.port}`),
    forRule: (reader, { service, port, direction, route, rule }) => {
      if (!of.forRules) return undefined;
      const own = ruleBlock(reader, { service, port, route, rule }, of.select);
      return own && settingsOf(own.block, direction, own.scope);
    },
  };
}
