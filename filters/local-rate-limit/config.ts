// The two ways to configure the rate-limit filter: Envoy's LocalRateLimit, and ours with keys and several buckets.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { TokenBucketSpec } from "#lib/token-bucket.ts";

import { ConfigReader, FilterConfigError } from "../parse.ts";

export const ENVOY_LOCAL_RATE_LIMIT =
  "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
export const HEDDLE_RATE_LIMIT = "type.googleapis.com/heddle.filters.rate_limit.v1.RateLimit";

export type RateKey =
  | { readonly type: "header"; readonly name: string }
  | { readonly type: "tenant" | "identity" | "remoteAddress" | "method" | "path" };

export interface RateBucket {
  readonly name: string;
  readonly spec: TokenBucketSpec;
  /** One bucket per distinct combination; empty = one bucket. */
  readonly keys: readonly RateKey[];
  readonly maxKeys: number;
}

export interface RateLimitConfig {
  /** The policy's name, also the key under which buckets live on through configuration changes. */
  readonly rule: string;
  readonly buckets: readonly RateBucket[];
  readonly status: number;
  /** `RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-03, as Envoy's `x-ratelimit-*` option). */
  readonly hasHeaders: boolean;
  readonly headersToAdd: readonly (readonly [name: string, value: string])[];
}

export function parseRateLimit(value: JsonValue, typeUrl: string): RateLimitConfig {
  return typeUrl === ENVOY_LOCAL_RATE_LIMIT ? parseEnvoy(value) : parseOwn(value);
}

function parseOwn(value: JsonValue): RateLimitConfig {
  const reader = new ConfigReader(value, "");
  const config = {
    rule: reader.string("rule", ""),
    buckets: reader.objects("buckets").map(parseBucket),
    status: reader.number("status", 429, 400, 599),
    hasHeaders: reader.boolean("responseHeaders", true),
    headersToAdd: [],
  };
  reader.done();
  return config;
}

function parseBucket(reader: ConfigReader): RateBucket {
  const requests = reader.number("requests", undefined, 1, 2 ** 31);
  const bucket: RateBucket = {
    name: reader.string("name", ""),
    spec: {
      tokensPerFill: requests,
      fillIntervalMs: reader.number("perMs", 1000, 1),
      maxTokens: reader.number("burst", requests, 1, 2 ** 24),
    },
    keys: reader.objects("keys").map(parseKey),
    maxKeys: reader.number("maxKeys", 10_000, 1, 1_000_000),
  };
  reader.done();
  return bucket;
}

function parseKey(reader: ConfigReader): RateKey {
  const type = reader.oneOf("type", ["header", "tenant", "identity", "remoteAddress", "method", "path"], "header");
  const key = type === "header" ? ({ type, name: reader.string("name").toLowerCase() } as const) : { type };
  reader.done();
  return key;
}

/** Envoy's message in protobuf JSON. What we have no meaning for is refused, never ignored. */
function parseEnvoy(value: JsonValue): RateLimitConfig {
  const reader = new ConfigReader(value, "");
  const bucket = reader.object("tokenBucket");
  const status = reader.object("status");
  const code = status?.value("code");
  status?.done();
  checkShare(reader.object("filterEnabled"), "filterEnabled");
  checkShare(reader.object("filterEnforced"), "filterEnforced");
  const headers = reader.oneOf("enableXRatelimitHeaders", ["OFF", "DRAFT_VERSION_03"], "OFF");
  const config: RateLimitConfig = {
    rule: reader.string("statPrefix", ""),
    buckets: bucket === undefined ? [] : [parseEnvoyBucket(bucket)],
    status: code === undefined ? 429 : statusNumber(code),
    hasHeaders: headers === "DRAFT_VERSION_03",
    headersToAdd: reader.objects("responseHeadersToAdd").map(parseHeaderOption),
  };
  reader.done();
  return config;
}

function parseEnvoyBucket(reader: ConfigReader): RateBucket {
  const maxTokens = reader.number("maxTokens", undefined, 1, 2 ** 24);
  const spec = {
    maxTokens,
    tokensPerFill: reader.number("tokensPerFill", 1, 1),
    fillIntervalMs: reader.durationMs("fillInterval", undefined),
  };
  reader.done();
  return { name: "", spec, keys: [], maxKeys: 1 };
}

/** Envoy's filter is off unless `filter_enabled` says 100 %; partial shares are not supported here. */
function checkShare(reader: ConfigReader | undefined, path: string): void {
  if (reader === undefined) return;
  reader.string("runtimeKey", "");
  const value = reader.object("defaultValue");
  reader.done();
  const numerator = value?.number("numerator", 0) ?? 100;
  const denominator = value?.oneOf("denominator", ["HUNDRED", "TEN_THOUSAND", "MILLION"], "HUNDRED") ?? "HUNDRED";
  const most = { HUNDRED: 100, TEN_THOUSAND: 10_000, MILLION: 1_000_000 }[denominator];
  if (numerator !== most)
    throw new FilterConfigError(
      `${path}.defaultValue`,
      "100 percent (a part of the requests is not supported)",
      numerator,
    );
}

function parseHeaderOption(reader: ConfigReader): readonly [string, string] {
  const header = reader.object("header");
  reader.value("append");
  reader.value("appendAction");
  reader.done();
  if (header === undefined) throw new FilterConfigError(reader.pathOf("header"), "a header", undefined);
  return [header.string("key").toLowerCase(), header.string("value", "")];
}

const STATUS_NAMES: Readonly<Record<string, number>> = {
  TooManyRequests: 429,
  ServiceUnavailable: 503,
  Forbidden: 403,
  BadRequest: 400,
  Unauthorized: 401,
  NotFound: 404,
  InternalServerError: 500,
};

function statusNumber(code: JsonValue): number {
  const status = typeof code === "number" ? code : typeof code === "string" ? STATUS_NAMES[code] : undefined;
  if (status === undefined)
    throw new FilterConfigError("status.code", `one of ${Object.keys(STATUS_NAMES).join(", ")}`, code);
  return status;
}
