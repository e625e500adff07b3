// Envoy's message of the rate-limit filter, in protobuf JSON. What has no meaning here is refused by its path, never ignored.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Fraction } from "#config/model/matcher.ts";
import type { TokenBucketSpec } from "#lib/token-bucket.ts";

import { readRateLimitRules, readVirtualHostLimits } from "../descriptors/config.ts";
import { readShare } from "../matcher-config.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";
import { readHeaderAddition } from "../header-additions.ts";
import { readStatus } from "../http-status.ts";
import type { DescriptorBucket, EnvoyRateLimit } from "./config.ts";

const RESOURCE_EXHAUSTED = 8;
/** Envoy refuses a shorter one. */
const MIN_FILL_MS = 50;

export function parseEnvoy(value: JsonValue): EnvoyRateLimit {
  const reader = new ConfigReader(value, "");
  const bucket = reader.object("tokenBucket");
  const spec = bucket && readTokenBucket(bucket);
  const descriptors = reader.objects("descriptors").map(readDescriptor);
  const rateLimits = readRateLimitRules(reader, "rateLimits", "filter");
  checkDescriptors(descriptors, spec);
  const config: EnvoyRateLimit = {
    kind: "envoy",
    rule: reader.string("statPrefix", ""),
    spec,
    descriptors,
    rateLimits: rateLimits.length === 0 ? undefined : rateLimits,
    stage: reader.number("stage", 0, 0, 10),
    virtualHostLimits: readVirtualHostLimits(reader, "vhRateLimits"),
    alwaysTakesDefault: reader.boolean("alwaysConsumeDefaultTokenBucket", true),
    perConnection: reader.boolean("localRateLimitPerDownstreamConnection", false),
    maxDynamic: reader.number("maxDynamicDescriptors", 20, 1, 1_000_000),
    enabled: readShare(reader, "filterEnabled") ?? NOTHING,
    enforced: readShare(reader, "filterEnforced") ?? NOTHING,
    status: readStatus(reader, "status", 429),
    grpcStatus: reader.boolean("rateLimitedAsResourceExhausted", false) ? RESOURCE_EXHAUSTED : undefined,
    hasHeaders: reader.oneOf("enableXRatelimitHeaders", ["OFF", "DRAFT_VERSION_03"], "OFF") === "DRAFT_VERSION_03",
    responseHeaders: reader.objects("responseHeadersToAdd").map(readHeaderAddition),
    requestHeadersWhenNotEnforced: reader.objects("requestHeadersToAddWhenNotEnforced").map(readHeaderAddition),
  };
  reader.done();
  return config;
}

function readTokenBucket(reader: ConfigReader): TokenBucketSpec {
  const spec = {
    maxTokens: reader.number("maxTokens", undefined, 1, 2 ** 24),
    tokensPerFill: reader.number("tokensPerFill", 1, 1),
    fillIntervalMs: reader.durationMs("fillInterval", undefined),
  };
  if (spec.fillIntervalMs < MIN_FILL_MS)
    throw new FilterConfigError(reader.pathOf("fillInterval"), `at least ${MIN_FILL_MS} ms`, spec.fillIntervalMs);
  reader.done();
  return spec;
}

function readDescriptor(reader: ConfigReader): DescriptorBucket {
  const bucket = reader.object("tokenBucket");
  if (bucket === undefined) throw new FilterConfigError(reader.pathOf("tokenBucket"), "a token bucket", undefined);
  const entries = reader.objects("entries").map((entry) => {
    const read = { key: entry.string("key"), value: entry.string("value", "") };
    entry.done();
    return read;
  });
  if (entries.length === 0) throw new FilterConfigError(reader.pathOf("entries"), "at least one entry", []);
  const descriptor = { entries, spec: readTokenBucket(bucket) };
  reader.done();
  return descriptor;
}

/** As Envoy: two buckets for the same entries, or one that fills at no multiple of the filter's own interval. */
function checkDescriptors(descriptors: readonly DescriptorBucket[], spec: TokenBucketSpec | undefined): void {
  const seen = new Set<string>();
  for (const [index, descriptor] of descriptors.entries()) {
    const key = JSON.stringify(descriptor.entries);
    if (seen.has(key))
      throw new FilterConfigError(`descriptors[${index}].entries`, "unlike those before", descriptor.entries);
    seen.add(key);
    const { fillIntervalMs } = descriptor.spec;
    if (spec !== undefined && fillIntervalMs % spec.fillIntervalMs !== 0)
      throw new FilterConfigError(
        `descriptors[${index}].tokenBucket.fillInterval`,
        `a multiple of the filter's own, ${spec.fillIntervalMs} ms`,
        `${fillIntervalMs} ms`,
      );
  }
}

/** As in Envoy: a filter that says no share is off. */
const NOTHING: Fraction = { numerator: 0, denominator: 100 };
