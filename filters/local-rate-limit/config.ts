// What the rate-limit filter is told, in whichever of its two messages: Envoy's LocalRateLimit, or ours with keys and several buckets.
import type { JsonValue } from "#config/model/filter-config.ts";
import type { Fraction, HeaderMatcher } from "#config/model/matcher.ts";
import type { TokenBucketSpec } from "#lib/token-bucket.ts";

import type { RateLimitRule, VirtualHostLimits } from "../descriptors/config.ts";
import type { HeaderAddition } from "../header-additions.ts";
import { parseEnvoy } from "./envoy-config.ts";
import { parseOwn } from "./own-config.ts";

export const ENVOY_LOCAL_RATE_LIMIT =
  "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
export const HEDDLE_RATE_LIMIT = "type.googleapis.com/heddle.filters.rate_limit.v1.RateLimit";

export type RateKey =
  | { readonly type: "header" | "query" | "cookie"; readonly name: string }
  | { readonly type: "tenant" | "method" | "host" | "route" }
  | { readonly type: "identity"; readonly part: "whole" | "namespace" | "serviceAccount" }
  /** The first so many segments; 0 = all. */
  | { readonly type: "path"; readonly segments: number }
  | { readonly type: "remoteAddress"; readonly ipv4Bits: number; readonly ipv6Bits: number };

/** Which requests a bucket is for; empty lists are for all. */
export interface RequestMatch {
  readonly methods: readonly string[];
  readonly pathPrefix: string;
  readonly headers: readonly HeaderMatcher[];
}

/** A definition of its own for one value of the key. */
export interface Quota {
  readonly values: readonly string[];
  readonly spec: TokenBucketSpec;
}

export interface RateBucket {
  /** The policy's name, also, with `name`, that under which the bucket lives on through changes of configuration. */
  readonly rule: string;
  readonly name: string;
  /** Tokens, or of a leaky bucket: the place of the request that goes on and those of the requests that wait. */
  readonly spec: TokenBucketSpec;
  readonly isLeaky: boolean;
  /** One bucket per distinct combination; empty = one bucket. */
  readonly keys: readonly RateKey[];
  readonly quotas: readonly Quota[];
  readonly maxKeys: number;
  readonly match: RequestMatch | undefined;
  /** Undefined: as HTTP's status is mapped. */
  readonly grpcStatus: number | undefined;
}

export interface OwnRateLimit {
  readonly kind: "own";
  readonly buckets: readonly RateBucket[];
  readonly status: number;
  readonly hasHeaders: boolean;
}

export interface DescriptorBucket {
  /** An entry without a value takes any, and has a bucket for each. */
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  readonly spec: TokenBucketSpec;
}

export interface EnvoyRateLimit {
  readonly kind: "envoy";
  readonly rule: string;
  /** Undefined: only descriptors limit. */
  readonly spec: TokenBucketSpec | undefined;
  readonly descriptors: readonly DescriptorBucket[];
  /** Undefined: those of the route and its virtual host. */
  readonly rateLimits: readonly RateLimitRule[] | undefined;
  readonly stage: number;
  readonly virtualHostLimits: VirtualHostLimits;
  readonly alwaysTakesDefault: boolean;
  readonly perConnection: boolean;
  readonly maxDynamic: number;
  /** Absent in the message = nothing, as in Envoy. */
  readonly enabled: Fraction;
  readonly enforced: Fraction;
  readonly status: number;
  readonly grpcStatus: number | undefined;
  readonly hasHeaders: boolean;
  readonly responseHeaders: readonly HeaderAddition[];
  readonly requestHeadersWhenNotEnforced: readonly HeaderAddition[];
}

export type RateLimitConfig = OwnRateLimit | EnvoyRateLimit;

export function parseRateLimit(value: JsonValue, typeUrl: string): RateLimitConfig {
  return typeUrl === ENVOY_LOCAL_RATE_LIMIT ? parseEnvoy(value) : parseOwn(value);
}
