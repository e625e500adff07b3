// Random resources, each a model that xDS can say.
import * as fc from "fast-check";
import type { Cluster, HealthCheck, LbPolicy } from "../../model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint } from "../../model/endpoint.ts";
import type { FilterChain, HttpConnectionManager, Listener, NetworkFilter } from "../../model/listener.ts";
import type { Secret } from "../../model/tls.ts";
import { OUTLIER_DEFAULTS } from "../outlier.ts";
import type { ResourceModel } from "../resource.ts";
import {
  accessLog,
  address,
  count,
  downstreamTls,
  few,
  filterConfig,
  http2,
  ip,
  labels,
  maybe,
  maybeWord,
  ms,
  positiveMs,
  tracing,
  upstreamTls,
  word,
} from "./generators.ts";
import { routeTable, virtualHost } from "./route-generators.ts";

const cidr = fc.record({ address: ip, prefixLength: fc.nat(32) });

const manager: fc.Arbitrary<HttpConnectionManager> = fc.record({
  statPrefix: word,
  codec: fc.constantFrom("auto", "http1", "http2"),
  routes: fc.oneof(
    fc.record({ kind: fc.constant("rds" as const), name: word }),
    fc.record({ kind: fc.constant("inline" as const), table: routeTable }),
  ),
  filters: few(filterConfig),
  accessLogs: few(accessLog),
  tracing: maybe(tracing),
  useRemoteAddress: fc.boolean(),
  xffTrustedHops: fc.nat(5),
  generateRequestId: fc.boolean(),
  preserveExternalRequestId: fc.boolean(),
  serverName: word,
  serverHeader: fc.constantFrom("overwrite", "append_if_absent", "pass_through"),
  via: maybeWord,
  forwardClientCert: fc.constantFrom(
    "sanitize",
    "forward_only",
    "append_forward",
    "sanitize_set",
    "always_forward_only",
  ),
  clientCertDetails: fc.record({
    subject: fc.boolean(),
    uri: fc.boolean(),
    dns: fc.boolean(),
    cert: fc.boolean(),
  }),
  idleTimeoutMs: ms,
  streamIdleTimeoutMs: ms,
  streamFlushTimeoutMs: ms,
  requestTimeoutMs: ms,
  maxStreamMs: ms,
  internalAddresses: few(cidr),
  suppressEnvoyHeaders: fc.boolean(),
  requestHeadersTimeoutMs: ms,
  drainTimeoutMs: ms,
  delayedCloseTimeoutMs: ms,
  maxConnectionDurationMs: ms,
  maxRequestsPerConnection: count,
  maxRequestHeadersBytes: fc.integer({ min: 1, max: 8192 }).map((kb) => kb * 1024),
  maxRequestHeadersCount: fc.integer({ min: 1, max: 1000 }),
  http1: fc.record({
    acceptHttp10: fc.boolean(),
    defaultHostForHttp10: maybeWord,
    enableTrailers: fc.boolean(),
    preserveHeaderCase: fc.constant(true),
    allowAbsoluteUrl: fc.boolean(),
    allowChunkedLength: fc.boolean(),
  }),
  http2,
  upgrades: fc.uniqueArray(word, { maxLength: 2 }),
  normalizePath: fc.boolean(),
  mergeSlashes: fc.boolean(),
  stripMatchingHostPort: fc.boolean(),
});

const network: fc.Arbitrary<NetworkFilter> = fc.oneof(
  fc.record({
    kind: fc.constant("http" as const),
    http: fc
      .tuple(manager, fc.boolean())
      .map(([http, isAdded]) => (isAdded ? { ...http, forwarded: "append" as const } : http)),
  }),
  fc.record({
    kind: fc.constant("tcp" as const),
    tcp: fc.record({
      statPrefix: word,
      clusters: fc.array(fc.record({ name: word, weight: fc.integer({ min: 1, max: 9 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      idleTimeoutMs: ms,
      maxConnectAttempts: fc.integer({ min: 1, max: 9 }),
      accessLogs: few(accessLog),
    }),
  }),
);

const chain: fc.Arbitrary<FilterChain> = fc.record({
  name: maybeWord,
  match: fc.record({
    destinationPort: maybe(fc.integer({ min: 1, max: 65535 })),
    prefixRanges: fc.uniqueArray(cidr, { maxLength: 2, selector: (item) => item.address }),
    serverNames: fc.uniqueArray(word, { maxLength: 3 }),
    transportProtocol: fc.constantFrom("tls", "raw_buffer", undefined),
    applicationProtocols: fc.uniqueArray(word, { maxLength: 3 }),
    sourcePrefixRanges: fc.uniqueArray(cidr, { maxLength: 2, selector: (item) => item.address }),
    sourcePorts: fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 3 }),
  }),
  tls: maybe(downstreamTls),
  handshakeTimeoutMs: ms,
  network,
});

/** TLS is inspected where a chain asks for it in any case, so the flag is not free there. */
const anyListener: fc.Arbitrary<Listener> = fc.record({
  name: word,
  address,
  direction: fc.constantFrom("inbound", "outbound", "unspecified"),
  bindToPort: fc.boolean(),
  useOriginalDst: fc.boolean(),
  inspectTls: fc.constant(true),
  inspectHttp: fc.boolean(),
  inspectTimeoutMs: ms,
  continueOnInspectTimeout: fc.boolean(),
  filterChains: fc.uniqueArray(chain, { selector: (item) => item.match.destinationPort, minLength: 1, maxLength: 2 }),
  defaultFilterChain: maybe(chain),
  perConnectionBufferLimitBytes: count,
});

/** One with a socket has one address. */
const listener: fc.Arbitrary<Listener> = fc
  .tuple(anyListener, fc.array(address, { maxLength: 2 }))
  .map(([made, additionalAddresses]) =>
    made.bindToPort || additionalAddresses.length === 0 ? made : { ...made, additionalAddresses },
  );

const sourceAddresses = fc
  .constantFrom(["127.0.0.6"], ["::6"], ["127.0.0.6", "::6"], undefined)
  .map((addresses) => (addresses === undefined ? {} : { sourceAddresses: addresses }));

const endpoint: fc.Arbitrary<Endpoint> = fc.record(
  {
    address: ip,
    port: fc.nat(65535),
    hostname: maybeWord,
    health: fc.constantFrom("unknown", "healthy", "unhealthy", "draining", "timeout", "degraded"),
    weight: fc.integer({ min: 1, max: 128 }),
    labels,
    transportSocket: labels,
    mesh: fc.oneof(
      fc.record({ kind: fc.constant("none" as const) }),
      fc.record({
        kind: fc.constant("peer" as const),
        inboundAddress: ip,
        inboundPort: fc.nat(65535),
        identity: word,
        version: maybeWord,
      }),
    ),
    healthCheckPort: fc.integer({ min: 1, max: 65535 }),
  },
  { requiredKeys: ["address", "port", "hostname", "health", "weight", "labels", "transportSocket", "mesh"] },
);

const assignment: fc.Arbitrary<ClusterLoadAssignment> = fc.record({
  cluster: word,
  localities: fc
    .array(
      fc.record({
        region: maybeWord,
        zone: maybeWord,
        subZone: maybeWord,
        weight: fc.integer({ min: 1, max: 128 }),
        endpoints: few(endpoint),
      }),
      { maxLength: 3 },
    )
    .map((localities) => localities.map((locality, priority) => ({ ...locality, priority }))),
  overprovisioningFactor: fc.integer({ min: 100, max: 200 }),
});

const lb: fc.Arbitrary<LbPolicy> = fc.oneof(
  fc.record({ kind: fc.constant("roundRobin") }),
  fc.record({
    kind: fc.constant("leastRequest"),
    choiceCount: fc.integer({ min: 2, max: 9 }),
    activeRequestBias: fc.constantFrom(0, 0.5, 1),
  }),
  fc.record({ kind: fc.constant("peakEwma"), decayMs: positiveMs, initialRttMs: positiveMs }),
  fc.record({
    kind: fc.constant("leastRequest"),
    choiceCount: fc.integer({ min: 2, max: 9 }),
    activeRequestBias: fc.constantFrom(0, 1),
    isFullScan: fc.constant(true),
  }),
  fc.record({
    kind: fc.constant("weightedByLoad"),
    blackoutMs: positiveMs,
    expirationMs: positiveMs,
    updateMs: fc.integer({ min: 100, max: 9999 }),
    errorPenalty: fc.constantFrom(0, 0.5, 1, 2),
    metricNames: fc.constantFrom([], ["named_metrics.queue"]),
  }),
);

const hashing: fc.Arbitrary<LbPolicy> = fc.oneof(
  fc.record({ kind: fc.constant("random") }),
  fc.record({
    kind: fc.constant("ringHash"),
    minimumRingSize: fc.nat(1024),
    maximumRingSize: fc.integer({ min: 1024, max: 9999 }),
  }),
  fc.record({
    kind: fc.constant("ringHash"),
    minimumRingSize: fc.nat(1024),
    maximumRingSize: fc.integer({ min: 1024, max: 9999 }),
    hashing: fc.record({ useHostname: fc.constant(true), balanceFactor: fc.constantFrom(0, 100, 150) }),
  }),
  fc.record({ kind: fc.constant("maglev"), tableSize: fc.constantFrom(65_537, 97) }),
  fc.record({ kind: fc.constant("originalEndpoint") }),
);

const limits = fc.record({
  maxConnections: count,
  maxPendingRequests: count,
  maxRequests: count,
  maxRetries: count,
  retryBudget: maybe(fc.record({ percent: fc.integer({ min: 0, max: 100 }), minConcurrency: count })),
});

const checked = fc.record({
  timeoutMs: positiveMs,
  intervalMs: positiveMs,
  jitterMs: ms,
  unhealthyThreshold: count,
  healthyThreshold: count,
  check: fc.oneof(
    fc.record({
      kind: fc.constant("http" as const),
      path: word,
      host: maybeWord,
      method: fc.constantFrom("GET", "HEAD"),
      http2: fc.boolean(),
      expectedStatuses: fc.constantFrom([{ start: 200, end: 201 }], [{ start: 200, end: 300 }]),
    }),
    fc.record({ kind: fc.constant("grpc" as const), serviceName: maybeWord, authority: maybeWord }),
    fc.record({ kind: fc.constant("tcp" as const) }),
    fc.record({
      kind: fc.constant("tcp" as const),
      send: fc.constantFrom("50494e47", "00"),
      receive: fc.constant(["504f4e47"]),
    }),
  ),
});

const healthCheck: fc.Arbitrary<HealthCheck> = fc
  .tuple(checked, positiveMs, fc.boolean())
  .map(([check, other, has]) => ({
    ...check,
    noTrafficIntervalMs: other,
    ...(has
      ? { unhealthyIntervalMs: other, healthyEdgeIntervalMs: other, jitterPercent: 10, reuseConnection: false }
      : {}),
  }));

const slowStart = maybe(
  fc.record({
    windowMs: positiveMs,
    aggression: fc.constantFrom(1, 2),
    minWeightPercent: fc.constantFrom(10, 50),
  }),
);

const outlier = fc.record({
  consecutive5xx: count,
  intervalMs: positiveMs,
  baseEjectionTimeMs: fc.integer({ min: 1, max: 1000 }),
  maxEjectionTimeMs: fc.integer({ min: 1000, max: 9_000_000 }),
  enforcingLocalOriginSuccessRate: fc.integer({ min: 0, max: 100 }),
  alwaysEjectOneHost: fc.boolean(),
  successfulHealthCheckUnejects: fc.boolean(),
});

const stages = fc.oneof(
  fc.constant({}),
  fc.record({
    stages: fc.record({ suspectForMs: fc.integer({ min: 1, max: 1000 }), confirmUntilMs: fc.constant(9_000_000) }),
  }),
);

const breaker = fc.record(
  {
    volumeThreshold: positiveMs,
    errorPercent: fc.integer({ min: 1, max: 100 }),
    windowMs: positiveMs,
    sleepWindowMs: positiveMs,
    per: fc.constant("tenant" as const),
  },
  { requiredKeys: ["volumeThreshold", "errorPercent", "windowMs", "sleepWindowMs"] },
);

/** Balancer and discovery together: original destination goes with itself only. */
const discovered = fc.oneof(
  fc.record({ lb, slowStart, discovery: fc.record({ kind: fc.constant("eds" as const), serviceName: word }) }),
  fc.record({
    lb: hashing,
    slowStart: fc.constant(undefined),
    discovery: fc.oneof(
      fc.record({ kind: fc.constant("static" as const), assignment }),
      fc.record({
        kind: fc.constant("strictDns" as const),
        assignment,
        refreshMs: positiveMs.map((value) => value + 1),
      }),
    ),
  }),
  fc.record({
    lb: fc.constant({ kind: "originalDst" as const }),
    slowStart: fc.constant(undefined),
    discovery: fc.constant({ kind: "originalDst" as const }),
  }),
);

const common = fc.record(
  {
    weighsLocalities: fc.constant(true),
    ignoresUnchecked: fc.constant(true),
    drainsOnChange: fc.constant(true),
  },
  { requiredKeys: [] },
);

const cluster: fc.Arbitrary<Cluster> = fc
  .tuple(
    fc.tuple(discovered, sourceAddresses, common).map(([found, source, flags]) => ({ ...found, ...source, ...flags })),
    fc.record({
      name: word,
      altStatName: maybe(word),
      connectTimeoutMs: positiveMs,
      panicThresholdPercent: fc.constantFrom(0, 50, 100),
      limits,
      highPriorityLimits: limits,
      outlier: maybe(
        fc.tuple(outlier, stages).map(([changed, more]) => ({ ...OUTLIER_DEFAULTS, ...changed, ...more })),
      ),
      healthChecks: few(healthCheck),
      closeOnHealthFailure: fc.boolean(),
      tls: maybe(upstreamTls),
      tlsMatches: few(fc.record({ name: word, match: labels, tls: maybe(upstreamTls) })),
      http: fc.record({
        protocol: fc.constantFrom("auto", "downstream"),
        http2,
        idleTimeoutMs: ms,
        maxConnectionDurationMs: ms,
        maxRequestsPerConnection: count,
        maxResponseHeadersBytes: fc.integer({ min: 1, max: 8192 }).map((kb) => kb * 1024),
        maxResponseHeadersCount: fc.integer({ min: 1, max: 1000 }),
        preserveHeaderCase: fc.constant(true),
      }),
      perConnectionBufferLimitBytes: count,
      breaker: maybe(breaker),
      metadata: fc.dictionary(word, fc.record({ a: word }), { noNullPrototype: true, maxKeys: 2 }),
    }),
  )
  // Without TLS there is no ALPN to choose the protocol.
  .map(([found, rest]) => ({
    ...rest,
    ...found,
    highPriorityLimits: {
      ...rest.highPriorityLimits,
      maxConnections: rest.limits.maxConnections,
      maxPendingRequests: rest.limits.maxPendingRequests,
    },
    ...(rest.tls === undefined ? { http: { ...rest.http, protocol: "downstream" as const } } : {}),
  }));

const secret: fc.Arbitrary<Secret> = fc.oneof(
  fc.record({ kind: fc.constant("certificate"), name: word, certificate: fc.record({ chainPem: word, keyPem: word }) }),
  fc.record({ kind: fc.constant("validation"), name: word, bundlePem: word }),
);

export const generators: {
  readonly [K in ResourceModel["kind"]]: fc.Arbitrary<Extract<ResourceModel, { kind: K }>["model"]>;
} = {
  listener,
  route: routeTable,
  virtualHost,
  cluster,
  endpoints: assignment,
  secret,
};
