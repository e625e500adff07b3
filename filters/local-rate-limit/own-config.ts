// Our own message of the rate-limit filter: `heddle.filters.rate_limit.v1.RateLimit`.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { TokenBucketSpec } from "#lib/token-bucket.ts";

import { readHeaderMatcher } from "../matcher-config.ts";
import { ConfigReader, FilterConfigError } from "../parse.ts";
import type { OwnRateLimit, Quota, RateBucket, RateKey, RequestMatch } from "./config.ts";

const MAX_TOKENS = 2 ** 24;

export function parseOwn(value: JsonValue): OwnRateLimit {
  const reader = new ConfigReader(value, "");
  const buckets = reader.objects("buckets").map(parseBucket);
  const config = {
    kind: "own",
    // What would refuse is asked first: nobody should wait in vain.
    buckets: [...buckets.filter(({ isLeaky }) => !isLeaky), ...buckets.filter(({ isLeaky }) => isLeaky)],
    status: reader.number("status", 429, 400, 599),
    hasHeaders: reader.boolean("responseHeaders", true),
  } as const;
  reader.done();
  return config;
}

function parseBucket(reader: ConfigReader): RateBucket {
  const isLeaky = reader.oneOf("algorithm", ["tokenBucket", "leakyBucket"], "tokenBucket") === "leakyBucket";
  const maxWaitMs = reader.number("maxWaitMs", 1000, 0, 5000);
  const specOf = (fields: ConfigReader, perMs: number): TokenBucketSpec => {
    const requests = fields.number("requests", undefined, 1, 2 ** 31);
    const burst = fields.number("burst", Math.min(requests, MAX_TOKENS), 1, 2 ** 31);
    const fillIntervalMs = fields.number("perMs", perMs, 1);
    const places = isLeaky ? 1 + Math.min(burst, Math.floor((maxWaitMs * requests) / fillIntervalMs)) : burst;
    return { tokensPerFill: requests, fillIntervalMs, maxTokens: Math.min(places, MAX_TOKENS) };
  };
  const spec = specOf(reader, 1000);
  const keys = reader.objects("keys").map(parseKey);
  const match = reader.object("match");
  const bucket: RateBucket = {
    rule: reader.string("rule", ""),
    name: reader.string("name", ""),
    spec,
    isLeaky,
    keys,
    quotas: reader.objects("quotas").map((quota) => parseQuota(quota, keys.length, specOf, spec.fillIntervalMs)),
    maxKeys: reader.number("maxKeys", 10_000, 1, 1_000_000),
    match: match && parseMatch(match),
    grpcStatus: reader.value("grpcStatus") === undefined ? undefined : reader.number("grpcStatus", 8, 0, 16),
  };
  reader.done();
  return bucket;
}

function parseQuota(
  reader: ConfigReader,
  keys: number,
  specOf: (fields: ConfigReader, perMs: number) => TokenBucketSpec,
  perMs: number,
): Quota {
  const values = reader.strings("values");
  if (values.length !== keys || keys === 0)
    throw new FilterConfigError(reader.pathOf("values"), `one value for each of the ${keys} keys`, values);
  const quota = { values, spec: specOf(reader, perMs) };
  reader.done();
  return quota;
}

function parseMatch(reader: ConfigReader): RequestMatch {
  const match = {
    methods: reader.strings("methods"),
    pathPrefix: reader.string("pathPrefix", ""),
    headers: reader.objects("headers").map(readHeaderMatcher),
  };
  reader.done();
  return match;
}

const KEY_TYPES = [
  "header",
  "query",
  "cookie",
  "tenant",
  "identity",
  "remoteAddress",
  "method",
  "path",
  "host",
  "route",
] as const;

function parseKey(reader: ConfigReader): RateKey {
  const key = readKey(reader);
  reader.done();
  return key;
}

function readKey(reader: ConfigReader): RateKey {
  const type = reader.oneOf("type", KEY_TYPES, "header");
  switch (type) {
    case "header":
      return { type, name: reader.string("name").toLowerCase() };
    case "query":
    case "cookie":
      return { type, name: reader.string("name") };
    case "identity":
      return { type, part: reader.oneOf("part", ["whole", "namespace", "serviceAccount"], "whole") };
    case "path":
      return { type, segments: reader.number("segments", 0, 0, 64) };
    case "remoteAddress":
      return {
        type,
        ipv4Bits: reader.number("ipv4Bits", 32, 0, 32),
        ipv6Bits: reader.number("ipv6Bits", 128, 0, 128),
      };
    case "tenant":
    case "method":
    case "host":
    case "route":
      return { type };
  }
}
