// RateLimitPolicy as settings of the rate limit filter: Envoy's message where it says the same, ours where there are keys.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { RateLimitBucket, RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import { envoyRateLimitType, filterTypes } from "../filter-types.ts";
import { policiesOfPort, policiesOfRule } from "./attached.ts";
import type { FilterSettings, PolicyFilter } from "./policy-filters.ts";

export const rateLimitPolicies: PolicyFilter = {
  name: filterTypes.rateLimit.name,
  settings: { typeUrl: filterTypes.rateLimit.typeUrl, config: { buckets: [] } },
  forPort: (reader, target) => settingsOf(policiesOfPort(reader, "rateLimits", target)),
  forRule: (reader, target) => {
    const own = policiesOfRule(reader, "rateLimits", target);
    // The limits of the port hold as well.
    return own.length === 0 ? undefined : settingsOf([...policiesOfPort(reader, "rateLimits", target), ...own]);
  },
};

function settingsOf(policies: readonly RateLimitPolicy[]): FilterSettings | undefined {
  if (policies.length === 0) return undefined;
  const buckets = policies.flatMap((policy) => policy.spec.local.map((bucket) => ({ policy, bucket })));
  const [only] = buckets;
  if (buckets.length === 1 && only !== undefined && only.bucket.keys.length === 0) {
    return { typeUrl: envoyRateLimitType, config: envoyMessage(only.policy, only.bucket) };
  }
  const isShared = policies.length > 1;
  return {
    typeUrl: filterTypes.rateLimit.typeUrl,
    config: {
      rule: policies.map(ruleName).join(", "),
      buckets: buckets.map(({ policy, bucket }) => ourBucket(isShared ? `${policy.metadata.name}/` : "", bucket)),
      responseHeaders: policies.some(({ spec }) => spec.responseHeaders),
    },
  };
}

/** Protobuf JSON of LocalRateLimit; `statPrefix` is the rule's name, which a 429 tells. */
function envoyMessage(policy: RateLimitPolicy, bucket: RateLimitBucket): JsonValue {
  // The denominator is a hundred unless it says otherwise.
  const always = { defaultValue: { numerator: 100 } };
  return {
    statPrefix: ruleName(policy),
    tokenBucket: {
      maxTokens: bucket.burst ?? bucket.requests,
      tokensPerFill: bucket.requests,
      fillInterval: `${durationMs(bucket.per) / 1000}s`,
    },
    filterEnabled: always,
    filterEnforced: always,
    enableXRatelimitHeaders: policy.spec.responseHeaders ? "DRAFT_VERSION_03" : "OFF",
  };
}

/** Buckets of several policies in one filter are told apart by `prefix`. */
function ourBucket(prefix: string, bucket: RateLimitBucket): JsonValue {
  return {
    name: prefix + bucket.name,
    requests: bucket.requests,
    perMs: durationMs(bucket.per),
    burst: bucket.burst ?? bucket.requests,
    keys: bucket.keys.map((key) =>
      key.name === undefined ? { type: key.type } : { type: key.type, name: key.name.toLowerCase() },
    ),
    maxKeys: bucket.maxKeys,
  };
}

function ruleName(policy: RateLimitPolicy): string {
  return `RateLimitPolicy ${policy.metadata.namespace}/${policy.metadata.name}`;
}
