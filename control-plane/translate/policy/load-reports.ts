// Load reports of a service's own sidecars, where weights of its callers' proxies follow them.
import { blockFilter } from "./block-filter.ts";

/** Nobody asks for a report: whoever has the policy at one end has it at the other. */
export const loadReports = blockFilter({
  filter: "loadReport",
  select: ({ loadBalancing }) => (loadBalancing?.policy === "weightedByLoad" ? loadBalancing : undefined),
  off: {},
  acts: (_block, direction) => direction === "inbound",
  inboundOnly: true,
  forRules: false,
  configOf: () => ({}),
});
