// RateLimitPolicy as settings of the rate limit filter: Envoy's message where it says the same, ours where there are keys.
import type { FilterConfig, FilterOverride, JsonValue } from "#config/model/filter-config.ts";
import { durationMs } from "#config/schema/duration.ts";
import type { RateLimitBucket, RateLimitPolicy } from "#config/schema/rate-limit-policy.ts";
import type { MeshReader } from "../../mesh/derivation.ts";
import { targetKey, type RouteResource } from "../../mesh/snapshot.ts";
import type { ServicePort } from "../../registry/registry.ts";
import { envoyRateLimitType, filterTypes } from "../filter-types.ts";

export type LimitDirection = RateLimitPolicy["spec"]["direction"];

/** The policies for all requests to one port of a service. */
export function limitsOfPort(
  reader: MeshReader,
  service: string,
  port: ServicePort,
  direction: LimitDirection,
): readonly RateLimitPolicy[] {
  const [namespace = "", name = ""] = service.split("/");
  return policiesFor(
    reader,
    "Service",
    namespace,
    name,
    direction,
    (section) => section === undefined || section === port.name,
  );
}

/** The policies for one rule of a route, those for the whole route included. */
export function limitsOfRule(
  reader: MeshReader,
  route: RouteResource,
  rule: string | undefined,
  direction: LimitDirection,
): readonly RateLimitPolicy[] {
  const { namespace, name } = route.metadata;
  return policiesFor(
    reader,
    route.kind,
    namespace,
    name,
    direction,
    (section) => section === undefined || section === rule,
  );
}

/** The filter with these limits, or off until a route turns it on. */
export function rateLimitFilter(policies: readonly RateLimitPolicy[], isNeeded: boolean): readonly FilterConfig[] {
  const { name, typeUrl } = filterTypes.rateLimit;
  if (policies.length > 0) return [{ name, ...message(policies), disabled: false, isOptional: true }];
  return isNeeded ? [{ name, typeUrl, config: { buckets: [] }, disabled: false, isOptional: true }] : [];
}

/** What a route says over the listener's: `inherited` are the limits of the port, which hold as well. */
export function rateLimitOverride(
  own: readonly RateLimitPolicy[],
  inherited: readonly RateLimitPolicy[],
): readonly FilterOverride[] {
  if (own.length === 0) return [];
  return [{ filter: filterTypes.rateLimit.name, ...message([...inherited, ...own]), disabled: false }];
}

function policiesFor(
  reader: MeshReader,
  kind: string,
  namespace: string,
  name: string,
  direction: LimitDirection,
  isSection: (section: string | undefined) => boolean,
): readonly RateLimitPolicy[] {
  const key = targetKey(kind, namespace, name);
  return (reader.get("rateLimits", key) ?? []).filter(
    ({ spec }) =>
      spec.direction === direction &&
      spec.targetRefs.some((ref) => targetKey(ref.kind, namespace, ref.name) === key && isSection(ref.sectionName)),
  );
}

function message(policies: readonly RateLimitPolicy[]): { readonly typeUrl: string; readonly config: JsonValue } {
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
