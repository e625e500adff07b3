// Clusters and endpoints for tests, with Envoy's defaults where a test says nothing.
import type { Cluster, OutlierDetection } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint } from "#config/model/endpoint.ts";
import { silentLog } from "#lib/log.ts";
import { makeSeededRandom } from "#lib/random.ts";
import type { FakeClock } from "#lib/testing/fake-clock.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";
import type { UpstreamContext } from "../cluster.ts";
import type { Connector } from "../connector.ts";

const LIMITS = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 3,
  retryBudget: undefined,
};

export const HTTP_OPTIONS: Cluster["http"] = {
  protocol: "http1",
  http2: {
    maxConcurrentStreams: 1024,
    initialStreamWindowBytes: 65_535,
    initialConnectionWindowBytes: 25_165_824,
    hpackTableSizeBytes: 4096,
    maxOutboundFrames: 10_000,
    maxOutboundControlFrames: 1000,
    maxConsecutiveInboundEmptyDataFrames: 1,
    maxInboundPriorityFramesPerStream: 100,
    maxInboundWindowUpdateFramesPerDataFrame: 10,
    keepaliveIntervalMs: 0,
    keepaliveTimeoutMs: 0,
    allowConnect: true,
  },
  idleTimeoutMs: 3_600_000,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxResponseHeadersBytes: 61_440,
  maxResponseHeadersCount: 100,
  preserveHeaderCase: true,
};

/** As the field's, but one of a few endpoints may always go. */
export const OUTLIER: OutlierDetection = {
  consecutive5xx: 5,
  enforcingConsecutive5xx: 100,
  consecutiveGatewayFailure: 5,
  enforcingConsecutiveGatewayFailure: 0,
  splitExternalLocalOriginErrors: false,
  consecutiveLocalOriginFailure: 5,
  enforcingConsecutiveLocalOriginFailure: 100,
  intervalMs: 10_000,
  baseEjectionTimeMs: 30_000,
  maxEjectionTimeMs: 300_000,
  maxEjectionTimeJitterMs: 0,
  maxEjectionPercent: 10,
  successRateMinimumHosts: 5,
  successRateRequestVolume: 100,
  successRateStdevFactor: 1900,
  enforcingSuccessRate: 100,
  failurePercentageThreshold: 85,
  failurePercentageMinimumHosts: 5,
  failurePercentageRequestVolume: 50,
  enforcingFailurePercentage: 0,
  enforcingLocalOriginSuccessRate: 100,
  enforcingFailurePercentageLocalOrigin: 0,
  alwaysEjectOneHost: true,
  successfulHealthCheckUnejects: true,
};

export function endpointOf(address: string, port: number, overrides: Partial<Endpoint> = {}): Endpoint {
  return {
    address,
    port,
    hostname: "",
    health: "unknown",
    weight: 1,
    labels: {},
    transportSocket: {},
    mesh: { kind: "none" },
    ...overrides,
  };
}

/** `10.0.0.0:80`, `10.0.0.1:80`, ... */
export function endpointsOf(count: number, overrides: Partial<Endpoint> = {}): readonly Endpoint[] {
  return Array.from({ length: count }, (_, i) => endpointOf(`10.0.0.${i}`, 80, overrides));
}

export function assignmentOf(cluster: string, ...priorities: readonly (readonly Endpoint[])[]): ClusterLoadAssignment {
  return {
    cluster,
    overprovisioningFactor: 140,
    localities: priorities.map((endpoints, priority) => ({
      region: "",
      zone: "",
      subZone: "",
      priority,
      weight: 1,
      endpoints,
    })),
  };
}

export function clusterOf(name: string, overrides: Partial<Cluster> = {}): Cluster {
  return {
    name,
    altStatName: undefined,
    discovery: { kind: "eds", serviceName: name },
    connectTimeoutMs: 5000,
    lb: { kind: "roundRobin" },
    slowStart: undefined,
    panicThresholdPercent: 50,
    limits: LIMITS,
    highPriorityLimits: LIMITS,
    outlier: undefined,
    healthChecks: [],
    closeOnHealthFailure: false,
    tls: undefined,
    tlsMatches: [],
    http: HTTP_OPTIONS,
    perConnectionBufferLimitBytes: 1_048_576,
    breaker: undefined,
    metadata: {},
    ...overrides,
  };
}

export function contextOf(
  clock: FakeClock,
  connector: Connector,
  overrides: Partial<UpstreamContext> = {},
): UpstreamContext {
  return {
    clock,
    random: makeSeededRandom(42),
    log: silentLog,
    connector,
    cells: new SharedCells(),
    lookup: async (name) => {
      throw new Error(`no such name: ${name}`);
    },
    ...overrides,
  };
}
