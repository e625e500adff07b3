// RateLimitPolicy as settings of the rate limit filter: Envoy's message where it says the same, ours where there are keys.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { RateLimitBucket, RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { targetKey } from "../../mesh/snapshot.ts";
import { envoyRateLimitType, filterTypes } from "../filter-types.ts";
import type { FilterSettings, PolicyFilter, PolicyPort, PolicyRule } from "./policy-filters.ts";

export const rateLimitPolicies: PolicyFilter = {
  name: filterTypes.rateLimit.name,
  settings: { typeUrl: filterTypes.rateLimit.typeUrl, config: { buckets: [] } },
  forPort: (reader, target) => settingsOf(limitsOfPort(reader, target)),
  forRule: (reader, target) => {
    const own = limitsOfRule(reader, target);
    // The limits of the port hold as well.
    return own.length === 0 ? undefined : settingsOf([...limitsOfPort(reader, target), ...own]);
  },
};

function limitsOfPort(reader: MeshReader, { service, port, direction }: PolicyPort): readonly RateLimitPolicy[] {
  const [namespace = "", name = ""] = service.split("/");
  const isSection = (section: string | undefined): boolean => section === undefined || section === port.name;
  return policiesFor(reader, "Service", namespace, name, direction, isSection);
}

function limitsOfRule(reader: MeshReader, { route, rule, direction }: PolicyRule): readonly RateLimitPolicy[] {
  const { namespace, name } = route.metadata;
  const isSection = (section: string | undefined): boolean => section === undefined || section === rule.name;
  return policiesFor(reader, route.kind, namespace, name, direction, isSection);
}

function policiesFor(
  reader: MeshReader,
  kind: string,
  namespace: string,
  name: string,
  direction: PolicyPort["direction"],
  isSection: (section: string | undefined) => boolean,
): readonly RateLimitPolicy[] {
  const key = targetKey(kind, namespace, name);
  return (reader.get("rateLimits", key) ?? []).filter(
    ({ spec }) =>
      spec.direction === direction &&
      spec.targetRefs.some((ref) => targetKey(ref.kind, namespace, ref.name) === key && isSection(ref.sectionName)),
  );
}

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
