// A backend: how its endpoints are found, chosen, spoken to and protected. Envoy: `config.cluster.v3`.
import type { ClusterLoadAssignment } from "./endpoint.ts";
import type { Http2Options } from "./listener.ts";
import type { JsonValue } from "./filter-config.ts";
import type { UpstreamTls } from "./tls.ts";
import type { Labels } from "./route.ts";

export interface Cluster {
  readonly name: string;
  /** The name in metrics; the cluster's own when undefined. */
  readonly altStatName: string | undefined;
  readonly discovery:
    | { readonly kind: "eds"; readonly serviceName: string }
    | { readonly kind: "static"; readonly assignment: ClusterLoadAssignment }
    | { readonly kind: "strictDns"; readonly assignment: ClusterLoadAssignment; readonly refreshMs: number }
    | { readonly kind: "logicalDns"; readonly assignment: ClusterLoadAssignment; readonly refreshMs: number }
    /** `identity`: every address is that of a mesh peer, who must prove it. Carried in metadata `heddle.mesh`. */
    | { readonly kind: "originalDst"; readonly identity?: string };
  readonly connectTimeoutMs: number;
  /** Where connections come from, at most one address of a family; none of the destination's: any. Envoy: `upstream_bind_config`. */
  readonly sourceAddresses?: readonly string[];
  readonly lb: LbPolicy;
  readonly slowStart:
    | { readonly windowMs: number; readonly aggression: number; readonly minWeightPercent: number }
    | undefined;
  /** Localities get shares of the traffic by their weights; otherwise each endpoint counts the same, wherever it is. */
  readonly weighsLocalities?: boolean;
  /** An endpoint that waits for its first active check counts for nothing, also not as one that is unwell. */
  readonly ignoresUnchecked?: boolean;
  /** When endpoints come or go, connections to all of them are replaced. */
  readonly drainsOnChange?: boolean;
  /** Below this share of healthy endpoints all are used; 0 = never. Envoy: 50. */
  readonly panicThresholdPercent: number;
  readonly limits: CircuitLimits;
  readonly highPriorityLimits: CircuitLimits;
  readonly outlier: OutlierDetection | undefined;
  readonly healthChecks: readonly HealthCheck[];
  /** Closes connections to an endpoint as soon as it is unhealthy. */
  readonly closeOnHealthFailure: boolean;
  readonly tls: UpstreamTls | undefined;
  /** Per-endpoint choice by the endpoint's labels in `transportSocket`; the first match wins. */
  readonly tlsMatches: readonly {
    readonly name: string;
    readonly match: Labels;
    readonly tls: UpstreamTls | undefined;
  }[];
  readonly http: HttpUpstreamOptions;
  readonly perConnectionBufferLimitBytes: number;
  /** Hystrix's circuit breaker (opossum); undefined = none. Carried in metadata `heddle.breaker`. */
  readonly breaker: BreakerPolicy | undefined;
  readonly metadata: { readonly [key: string]: JsonValue };
}

export type LbPolicy =
  | { readonly kind: "roundRobin" }
  | {
      readonly kind: "leastRequest";
      readonly choiceCount: number;
      readonly activeRequestBias: number;
      /** The least busy of all, and not of `choiceCount`. */
      readonly isFullScan?: boolean;
    }
  | { readonly kind: "random" }
  | {
      readonly kind: "ringHash";
      readonly minimumRingSize: number;
      readonly maximumRingSize: number;
      readonly hashing?: HashingOptions;
    }
  | { readonly kind: "maglev"; readonly tableSize: number; readonly hashing?: HashingOptions }
  /** Envoy `ClientSideWeightedRoundRobin`: weights from the instances' own load reports. */
  | {
      readonly kind: "weightedByLoad";
      readonly blackoutMs: number;
      readonly expirationMs: number;
      readonly updateMs: number;
      readonly errorPenalty: number;
      /** `named_metrics.queue`, `utilization.*` ...: what stands for the utilisation where the application says none. */
      readonly metricNames: readonly string[];
    }
  | { readonly kind: "peakEwma"; readonly decayMs: number; readonly initialRttMs: number }
  /** The address that the connection was going to (Envoy `CLUSTER_PROVIDED` with ORIGINAL_DST). */
  | { readonly kind: "originalDst" }
  /** The endpoint that the connection was going to, whatever its health, and no other. Ours alone. */
  | { readonly kind: "originalEndpoint" };

/** Envoy `ConsistentHashingLbConfig`. */
export interface HashingOptions {
  /** Endpoints are placed by their host name, so that one that comes back under another address has its keys again. */
  readonly useHostname: boolean;
  /** No endpoint gets more than this percentage of the mean number of running requests; 0 = no bound, else from 100 on. */
  readonly balanceFactor: number;
}

/** Envoy's circuit breakers: concurrency, not failures. Defaults 1024, 1024, 1024, 3. */
export interface CircuitLimits {
  readonly maxConnections: number;
  readonly maxPendingRequests: number;
  readonly maxRequests: number;
  readonly maxRetries: number;
  readonly retryBudget: { readonly percent: number; readonly minConcurrency: number } | undefined;
}

/** Hystrix's semantics: share of failures over a rolling window opens it. Defaults 20, 50 %, 10 s, 5 s. */
export interface BreakerPolicy {
  readonly volumeThreshold: number;
  readonly errorPercent: number;
  readonly windowMs: number;
  readonly sleepWindowMs: number;
  /** Statuses that count as failures, beside failures to get any answer; absent = 500, 502, 503, 504. */
  readonly errorStatuses?: readonly number[];
  /** One breaker for each tenant; absent = one for all. */
  readonly per?: "tenant";
}

/** Envoy `OutlierDetection`; names and defaults are Envoy's, durations in ms, shares in percent. */
export interface OutlierDetection {
  readonly consecutive5xx: number;
  readonly enforcingConsecutive5xx: number;
  readonly consecutiveGatewayFailure: number;
  readonly enforcingConsecutiveGatewayFailure: number;
  readonly splitExternalLocalOriginErrors: boolean;
  readonly consecutiveLocalOriginFailure: number;
  readonly enforcingConsecutiveLocalOriginFailure: number;
  readonly intervalMs: number;
  readonly baseEjectionTimeMs: number;
  readonly maxEjectionTimeMs: number;
  readonly maxEjectionTimeJitterMs: number;
  readonly maxEjectionPercent: number;
  readonly successRateMinimumHosts: number;
  readonly successRateRequestVolume: number;
  readonly successRateStdevFactor: number;
  readonly enforcingSuccessRate: number;
  readonly failurePercentageThreshold: number;
  readonly failurePercentageMinimumHosts: number;
  readonly failurePercentageRequestVolume: number;
  readonly enforcingFailurePercentage: number;
  /** Of local-origin results, counted where they are split from the others. */
  readonly enforcingLocalOriginSuccessRate: number;
  readonly enforcingFailurePercentageLocalOrigin: number;
  /** One endpoint may be out whatever `maxEjectionPercent` says. */
  readonly alwaysEjectOneHost: boolean;
  /** An active check that succeeds brings an ejected endpoint back. */
  readonly successfulHealthCheckUnejects: boolean;
  /** Suspect before out; absent = out at once, as in Envoy. Carried in metadata `heddle.outlier`. */
  readonly stages?: OutlierStages;
}

/** Both from the moment of the suspicion; `confirmUntilMs` is the later one. */
export interface OutlierStages {
  readonly suspectForMs: number;
  readonly confirmUntilMs: number;
}

/** Envoy `HealthCheck`. Of the intervals those that are absent are as `intervalMs`, or as the one that they refine. */
export interface HealthCheck {
  readonly timeoutMs: number;
  readonly intervalMs: number;
  /** Up to this is added to each interval, by chance; and before the first check. */
  readonly jitterMs: number;
  readonly initialJitterMs?: number;
  /** The same as a share of the interval. */
  readonly jitterPercent?: number;
  /** While the cluster has had no traffic at all. */
  readonly noTrafficIntervalMs: number;
  readonly noTrafficHealthyIntervalMs?: number;
  /** After a failed check. */
  readonly unhealthyIntervalMs?: number;
  /** After a check that speaks against what is held of the endpoint, while the threshold is not reached. */
  readonly unhealthyEdgeIntervalMs?: number;
  readonly healthyEdgeIntervalMs?: number;
  readonly unhealthyThreshold: number;
  readonly healthyThreshold: number;
  /** False: each check by HTTP or gRPC makes a connection of its own. Absent = true. */
  readonly reuseConnection?: boolean;
  readonly check:
    | {
        readonly kind: "http";
        readonly path: string;
        readonly host: string;
        readonly method: string;
        readonly http2: boolean;
        readonly expectedStatuses: readonly StatusRange[];
        /** Statuses that count towards the threshold, where others take the endpoint out at once. */
        readonly retriableStatuses?: readonly StatusRange[];
      }
    | { readonly kind: "grpc"; readonly serviceName: string; readonly authority: string }
    /** `send` and `receive` in hex; what is received must have these parts, in this order. */
    | { readonly kind: "tcp"; readonly send?: string; readonly receive?: readonly string[] };
}

/** `end` is exclusive. */
interface StatusRange {
  readonly start: number;
  readonly end: number;
}

/** Envoy `HttpProtocolOptions`. */
export interface HttpUpstreamOptions {
  /** `downstream`: as the client spoke; `auto`: ALPN decides. */
  readonly protocol: "http1" | "http2" | "auto" | "downstream";
  readonly http2: Http2Options;
  readonly idleTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  /** 0 = no limit. */
  readonly maxRequestsPerConnection: number;
  readonly maxResponseHeadersBytes: number;
  readonly maxResponseHeadersCount: number;
  readonly preserveHeaderCase: boolean;
}
