// FallbackPolicy as settings of the fallback filter.
import { durationMs } from "#config/schema/duration.ts";
import type { FallbackPolicy } from "#config/schema/fallback-policy.ts";
import { grpcStatusNames } from "#config/schema/fault-policy.ts";
import { filterTypes } from "../filter-types.ts";
import { policyOfPort, policyOfRule } from "./attached.ts";
import type { FilterSettings, PolicyFilter } from "./policy-filters.ts";

export const fallbackPolicies: PolicyFilter = {
  name: filterTypes.fallback.name,
  settings: { typeUrl: filterTypes.fallback.typeUrl, config: {} },
  // Opaque bytes have no request that could be answered.
  forPort: (reader, target) =>
    target.port.protocol === "TCP" ? undefined : settingsOf(policyOfPort(reader, "fallbacks", target)),
  // In the place of the port's.
  forRule: (reader, target) => settingsOf(policyOfRule(reader, "fallbacks", target)),
};

/** One answer is given: the most specific policy's, of several the oldest's. */
function settingsOf(policy: FallbackPolicy | undefined): FilterSettings | undefined {
  if (policy === undefined) return undefined;
  const { when, cached, static: fixed } = policy.spec;
  return {
    typeUrl: filterTypes.fallback.typeUrl,
    config: {
      rule: `FallbackPolicy ${policy.metadata.namespace}/${policy.metadata.name}`,
      conditions: when.conditions,
      statuses: when.statuses,
      ...(cached === undefined
        ? {}
        : {
            cached: {
              maxAgeMs: durationMs(cached.maxAge),
              maxEntries: cached.maxEntries,
              maxBytes: cached.maxKib * 1024,
              keyHeaders: cached.keyHeaders.map((name) => name.toLowerCase()),
            },
          }),
      ...(fixed === undefined
        ? {}
        : {
            static: {
              status: fixed.status,
              contentType: fixed.contentType,
              body: fixed.body,
              headers: fixed.headers.map(({ name, value }) => ({ name: name.toLowerCase(), value })),
              grpcStatus: grpcStatusNames.indexOf(fixed.grpcStatus),
            },
          }),
    },
  };
}
