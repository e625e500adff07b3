// RateLimitPolicy as settings of the rate limit filter: Envoy's message where it says the same, ours where there are keys.
import type { JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { RateLimitBucket, RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import { envoyRateLimitType, filterTypes } from "../filter-types.ts";
import { documentName } from "../names.ts";
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

const MAX_TOKENS = 2 ** 24;
const RESOURCE_EXHAUSTED = 8;
/** As the field's description says. */
const DEFAULT_MAX_WAIT = "1s";
/** Envoy takes no bucket that fills more often. */
const ENVOY_MIN_FILL_MS = 50;

function settingsOf(policies: readonly RateLimitPolicy[]): FilterSettings | undefined {
  const buckets = policies.flatMap((policy) => policy.spec.local.map((bucket) => ({ policy, bucket })));
  if (buckets.length === 0) return undefined;
  const [only] = buckets;
  if (buckets.length === 1 && only !== undefined && isEnvoys(only.bucket)) {
    return { typeUrl: envoyRateLimitType, config: envoyMessage(only.policy, only.bucket) };
  }
  return {
    typeUrl: filterTypes.rateLimit.typeUrl,
    config: {
      buckets: buckets.map(({ policy, bucket }) => ourBucket(policy, bucket)),
      responseHeaders: policies.some(({ spec }) => spec.responseHeaders),
    },
  };
}

function isEnvoys(bucket: RateLimitBucket): boolean {
  return (
    bucket.keys.length === 0 &&
    bucket.algorithm === "tokenBucket" &&
    bucket.match === undefined &&
    durationMs(bucket.per) >= ENVOY_MIN_FILL_MS
  );
}

/** Protobuf JSON of LocalRateLimit; `statPrefix` is the rule's name, which a 429 tells. */
function envoyMessage(policy: RateLimitPolicy, bucket: RateLimitBucket): JsonValue {
  // The denominator is a hundred unless it says otherwise.
  const always = { defaultValue: { numerator: 100 } };
  return {
    statPrefix: documentName(policy),
    tokenBucket: {
      maxTokens: Math.min(bucket.burst ?? bucket.requests, MAX_TOKENS),
      tokensPerFill: bucket.requests,
      fillInterval: `${durationMs(bucket.per) / 1000}s`,
    },
    filterEnabled: always,
    filterEnforced: always,
    enableXRatelimitHeaders: policy.spec.responseHeaders ? "DRAFT_VERSION_03" : "OFF",
    rateLimitedAsResourceExhausted: policy.spec.grpcStatus === "RESOURCE_EXHAUSTED",
  };
}

function ourBucket(policy: RateLimitPolicy, bucket: RateLimitBucket): JsonValue {
  const { match } = bucket;
  return {
    rule: documentName(policy),
    name: bucket.name,
    algorithm: bucket.algorithm,
    requests: bucket.requests,
    perMs: durationMs(bucket.per),
    burst: bucket.burst ?? bucket.requests,
    ...(bucket.algorithm === "leakyBucket" ? { maxWaitMs: durationMs(bucket.maxWait ?? DEFAULT_MAX_WAIT) } : {}),
    ...(match === undefined ? {} : { match: matchOf(match) }),
    keys: bucket.keys.map(keyOf),
    quotas: bucket.quotas.map(({ values, requests, per, burst }) => ({
      values,
      requests,
      ...(per === undefined ? {} : { perMs: durationMs(per) }),
      burst: burst ?? requests,
    })),
    maxKeys: bucket.maxKeys,
    ...(policy.spec.grpcStatus === "RESOURCE_EXHAUSTED" ? { grpcStatus: RESOURCE_EXHAUSTED } : {}),
  };
}

function keyOf({ type, name, ...rest }: RateLimitBucket["keys"][number]): JsonValue {
  const own = type === "queryParameter" ? "query" : type;
  if (name === undefined) return { type: own, ...rest };
  return { type: own, name: type === "header" ? name.toLowerCase() : name };
}

function matchOf({ methods, pathPrefix, headers }: NonNullable<RateLimitBucket["match"]>): JsonValue {
  return {
    methods,
    ...(pathPrefix === undefined ? {} : { pathPrefix }),
    headers: headers.map(({ name, type, value }) => ({
      name: name.toLowerCase(),
      ...(type === "Present" ? { presentMatch: true } : {}),
      ...(type === "Exact" ? { stringMatch: { exact: value } } : {}),
      ...(type === "Prefix" ? { stringMatch: { prefix: value } } : {}),
    })),
  };
}
