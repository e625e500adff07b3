// What clients are told of a limit: with each answer, and when it refuses.
import type { LocalReply } from "../filter.ts";
import type { RateLimitConfig } from "./config.ts";
import type { Standing } from "./limiter.ts";

type Pairs = readonly (readonly [name: string, value: string])[];

/**
 * `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and `X-RateLimit-*` as Envoy's option
 * DRAFT_VERSION_03 has them: the bucket's size, the tokens left, and the seconds until there is one.
 */
export function headersOf({ bucket, limit, remaining, nextMs, policies }: Standing): Pairs {
  const seconds = Math.ceil(nextMs / 1000);
  return [
    ["ratelimit-policy", policies],
    ["ratelimit", `"${bucket === "" ? "default" : bucket}";r=${remaining};t=${seconds}`],
    ["x-ratelimit-limit", String(limit)],
    ["x-ratelimit-remaining", String(remaining)],
    ["x-ratelimit-reset", String(seconds)],
  ];
}

export function refusalOf(standing: Standing, config: RateLimitConfig): LocalReply {
  const { rule, bucket, retryAfterMs, allows, grpcStatus } = standing;
  const seconds = Number.isFinite(retryAfterMs) ? Math.max(1, Math.ceil(retryAfterMs / 1000)) : 1;
  const additions: Pairs =
    config.kind === "envoy" ? config.responseHeaders.map(({ name, value }) => [name, value] as const) : [];
  const which = bucket === "" ? "" : ` (bucket "${bucket}")`;
  return {
    status: config.status,
    ...(grpcStatus === undefined ? {} : { grpcStatus }),
    flag: "RL",
    code: "rate_limited",
    proxyStatus: "http_request_denied",
    detail: `${rule === "" ? "the local rate limit" : rule}${which} allows ${allows}`,
    rule,
    headers: [
      ["retry-after", String(seconds)],
      ...(config.hasHeaders ? headersOf(standing) : []),
      ["x-envoy-ratelimited", "true"],
      ...additions,
    ],
  };
}
