// Which request goes where: tables of virtual hosts and routes. Envoy: `config.route.v3`.
import type { FilterOverride, JsonValue } from "./filter-config.ts";
import type { Fraction, HeaderMatcher, QueryMatcher } from "./matcher.ts";

export interface RouteTable extends RouteScope {
  readonly name: string;
  readonly virtualHosts: readonly VirtualHost[];
  /** Virtual hosts are asked for on demand (VHDS). */
  readonly onDemand: boolean;
}

/** What tables, hosts and routes can all say; the most specific one is applied first (Envoy's order: route, host, table). */
export interface RouteScope {
  readonly requestHeaders: HeaderMutations;
  readonly responseHeaders: HeaderMutations;
  readonly filterOverrides: readonly FilterOverride[];
}

export interface HeaderMutations {
  readonly set: readonly HeaderValue[];
  readonly add: readonly HeaderValue[];
  readonly addIfAbsent: readonly HeaderValue[];
  readonly remove: readonly string[];
}

/** `value` may hold Envoy's `%COMMAND%` operators. */
export interface HeaderValue {
  readonly name: string;
  readonly value: string;
}

export interface VirtualHost extends RouteScope {
  readonly name: string;
  /** `reviews`, `reviews:9080`, `*.shop`, `shop.*`, `*`. */
  readonly domains: readonly string[];
  readonly routes: readonly Route[];
  readonly retry: RetryPolicy | undefined;
  /** As those of routes; what of both holds, a route and its filters say. */
  readonly rateLimits?: readonly JsonValue[];
  /** Where the number of the attempt is told, and whether a retry follows a timeout. */
  readonly attemptMarks?: readonly AttemptMark[];
  /** Of routes that do not say it themselves. */
  readonly hedgeOnPerTryTimeout?: boolean;
}

/** `x-envoy-attempt-count` to the upstream or to the client, `x-envoy-is-timeout-retry` to the upstream. */
export type AttemptMark = "request" | "response" | "timeoutRetry";

export interface Route extends RouteScope {
  /** What `heddle explain` prints: `HTTPRoute shop/reviews rule 2`. */
  readonly name: string;
  readonly match: RouteMatch;
  readonly action: RouteAction;
  /** Where it came from (kind, namespace, name, rule) and whatever else the control plane tells. */
  readonly metadata: { readonly [key: string]: JsonValue };
}

export interface RouteMatch {
  readonly path:
    | { readonly kind: "prefix"; readonly value: string }
    | { readonly kind: "path"; readonly value: string }
    | { readonly kind: "pathSeparatedPrefix"; readonly value: string }
    | { readonly kind: "regex"; readonly value: string }
    | { readonly kind: "connect" };
  readonly caseSensitive: boolean;
  readonly headers: readonly HeaderMatcher[];
  readonly query: readonly QueryMatcher[];
  readonly grpcOnly: boolean;
  /** Matches only this share of requests. */
  readonly runtimeFraction: Fraction | undefined;
}

export type RouteAction = ForwardAction | RedirectAction | DirectResponseAction;

export interface ForwardAction {
  readonly kind: "forward";
  readonly target: ClusterTarget;
  /** What a request gets whose cluster does not exist. Envoy: 503. */
  readonly clusterNotFoundStatus: number;
  /** Whole exchange, all attempts. Envoy: 15 s; 0 = none. */
  readonly timeoutMs: number;
  /** Stream without activity. `undefined` = the listener's. */
  readonly idleTimeoutMs: number | undefined;
  /** Longest `grpc-timeout` that is honoured: undefined = grpc-timeout is not looked at, 0 = any. */
  readonly maxGrpcTimeoutMs: number | undefined;
  /** Taken off a caller's `grpc-timeout`, where that is longer. */
  readonly grpcTimeoutOffsetMs: number;
  /** The longest life of a stream, whatever moves on it; 0 = none, `undefined` = the listener's. */
  readonly maxStreamMs: number | undefined;
  /** An attempt that takes too long goes on beside the next one (`hedge_policy`); `undefined` = as the host says. */
  readonly hedgeOnPerTryTimeout: boolean | undefined;
  readonly retry: RetryPolicy | undefined;
  readonly hashPolicy: readonly HashPolicy[];
  readonly prefixRewrite: string | undefined;
  readonly pathRewrite: string | undefined;
  readonly regexRewrite: RegexRewrite | undefined;
  readonly hostRewrite: string | undefined;
  /** The host comes from a field of the request, or from its path; without a value it stays. */
  readonly hostRewriteFrom?: HostRewriteSource;
  readonly autoHostRewrite: boolean;
  /** Only endpoints with these labels (Envoy `metadata_match` of `envoy.lb`). */
  readonly subset: Labels;
  readonly mirrors: readonly { readonly cluster: string; readonly fraction: Fraction }[];
  /** Upgrades that this route turns on or off, over the listener's. */
  readonly upgrades: readonly { readonly name: string; readonly enabled: boolean }[];
  readonly priority: "default" | "high";
  /** What is told of requests to rate limits: `RateLimit` messages in canonical JSON (filters/descriptors); absent = nothing. */
  readonly rateLimits?: readonly JsonValue[];
  /** The virtual host's hold beside the route's, whatever a filter says. */
  readonly includeVirtualHostRateLimits?: boolean;
}

/** Every match of the pattern (RE2) in a path without its query is replaced; `\1` in the substitution is the first group. */
export interface RegexRewrite {
  readonly pattern: string;
  readonly substitution: string;
}

export type HostRewriteSource =
  | { readonly kind: "header"; readonly name: string }
  | ({ readonly kind: "path" } & RegexRewrite);

export type Labels = { readonly [key: string]: string };

export type ClusterTarget =
  | { readonly kind: "cluster"; readonly name: string }
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "weighted"; readonly clusters: readonly WeightedCluster[] };

export interface WeightedCluster extends RouteScope {
  readonly name: string;
  readonly weight: number;
  readonly subset: Labels;
  readonly hostRewrite: string | undefined;
}

export interface RedirectAction {
  readonly kind: "redirect";
  readonly status: number;
  readonly scheme: string | undefined;
  readonly host: string | undefined;
  readonly port: number | undefined;
  readonly path:
    | { readonly kind: "full"; readonly value: string }
    | { readonly kind: "prefix"; readonly value: string }
    | ({ readonly kind: "regex" } & RegexRewrite)
    | undefined;
  readonly stripQuery: boolean;
}

export interface DirectResponseAction {
  readonly kind: "direct";
  readonly status: number;
  readonly body: string;
}

export type HashPolicy = { readonly terminal: boolean } & (
  | { readonly kind: "header"; readonly name: string }
  | { readonly kind: "cookie"; readonly name: string; readonly path: string; readonly ttlMs: number | undefined }
  | { readonly kind: "query"; readonly name: string }
  | { readonly kind: "sourceIp" }
);

/** Envoy `RetryPolicy`. `retryOn` has Envoy's names: `5xx`, `connect-failure`, `refused-stream`, `reset`, `unavailable` ... */
export interface RetryPolicy {
  readonly retryOn: readonly string[];
  readonly numRetries: number;
  readonly perTryTimeoutMs: number;
  readonly perTryIdleTimeoutMs: number;
  readonly retriableStatusCodes: readonly number[];
  readonly retriableHeaders: readonly HeaderMatcher[];
  /** Only requests with one of these headers are repeated; none: all. */
  readonly retriableRequestHeaders: readonly HeaderMatcher[];
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  /** Prefer an endpoint that was not tried yet (`previous_hosts`). */
  readonly avoidPreviousHosts: boolean;
  readonly hostSelectionAttempts: number;
  /** Endpoints with all labels of one of these are not taken for a retry if there is another (`omit_host_metadata`). */
  readonly omitHosts: readonly Labels[];
  /** What an answer says about when to come again goes before `backoff` (`rate_limited_retry_back_off`). */
  readonly rateLimitedBackoff: RateLimitedBackoff | undefined;
}

export interface RateLimitedBackoff {
  /** In order: the first that is there and not above `maxMs` counts. */
  readonly resetHeaders: readonly { readonly name: string; readonly format: "seconds" | "unixTimestamp" }[];
  /** Envoy: 300 s. */
  readonly maxMs: number;
}
