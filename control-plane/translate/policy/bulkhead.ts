// The block bulkhead as settings of our filter, at the client or at the server.
import { durationMs } from "#config/schema/duration.ts";
import { blockFilter } from "./block-filter.ts";

export const bulkheadPolicies = blockFilter({
  filter: "bulkhead",
  select: ({ bulkhead }) => bulkhead,
  off: {},
  acts: (block, direction) => block.direction === direction,
  forRules: true,
  configOf: ({ maxConcurrent, maxPending, maxWait, per, maxKeys }, scope) => ({
    scope,
    maxConcurrent,
    maxPending,
    maxWaitMs: durationMs(maxWait),
    per: per.map((key) => ({ ...key })),
    maxKeys,
  }),
});
