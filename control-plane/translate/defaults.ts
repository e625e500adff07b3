// The parts of generated resources that no policy changes.
import type { CircuitLimits, HttpUpstreamOptions } from "#config/model/cluster.ts";
import type { FilterChainMatch, Http1Options, Http2Options, HttpConnectionManager } from "#config/model/listener.ts";
import type { ForwardAction, HeaderMutations, RouteMatch, RouteScope } from "#config/model/route.ts";

export const noHeaders: HeaderMutations = { set: [], add: [], addIfAbsent: [], remove: [] };
export const emptyScope: RouteScope = { requestHeaders: noHeaders, responseHeaders: noHeaders, filterOverrides: [] };

/** Envoy's caps against floods; windows between Envoy's (16 MiB, 24 MiB) and Linkerd's (64 KiB, 1 MiB) bound memory per stalled stream. */
const http2Defaults: Http2Options = {
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 256 * 1024,
  initialConnectionWindowBytes: 8 * 1024 * 1024,
  hpackTableSizeBytes: 4096,
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundEmptyDataFrames: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrame: 10,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 0,
  // WebSocket and opaque TCP cross the mesh hop as extended CONNECT (RFC 8441).
  allowConnect: true,
};

const http1Defaults: Http1Options = {
  acceptHttp10: true,
  defaultHostForHttp10: "localhost",
  enableTrailers: true,
  preserveHeaderCase: true,
  allowAbsoluteUrl: true,
  allowChunkedLength: false,
};

export const upstreamDefaults: HttpUpstreamOptions = {
  protocol: "http1",
  http2: http2Defaults,
  idleTimeoutMs: 3_600_000,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxResponseHeadersBytes: 60 * 1024,
  maxResponseHeadersCount: 100,
  preserveHeaderCase: true,
};

/** TrafficPolicy.connectionLimits without a policy; retries are bounded by Envoy's default budget. */
export const limitDefaults: CircuitLimits = {
  maxConnections: 1024,
  maxPendingRequests: 1024,
  maxRequests: 1024,
  maxRetries: 1024,
  retryBudget: { percent: 20, minConcurrency: 3 },
};

export const anyConnection: FilterChainMatch = {
  destinationPort: undefined,
  prefixRanges: [],
  serverNames: [],
  transportProtocol: undefined,
  applicationProtocols: [],
  sourcePrefixRanges: [],
  sourcePorts: [],
};

/** What an http_inspector finds HTTP to be. Other bytes, TLS of the application's own among them, are the default chain's. */
export const plainHttp: FilterChainMatch = {
  ...anyConnection,
  transportProtocol: "raw_buffer",
  applicationProtocols: ["http/1.0", "http/1.1", "h2c"],
};

/** Where first bytes tell the protocol: what may still become HTTP after so long is opaque. For silence see docs/opaque-tcp.md. */
export const detectionMs = 1000;

export const anyRequest: RouteMatch = {
  path: { kind: "prefix", value: "/" },
  caseSensitive: true,
  headers: [],
  query: [],
  grpcOnly: false,
  runtimeFraction: undefined,
};

/** Forwards without limits of its own; `grpc-timeout` of any length holds. */
export const forwardDefaults: Omit<ForwardAction, "target"> = {
  kind: "forward",
  clusterNotFoundStatus: 503,
  timeoutMs: 0,
  idleTimeoutMs: undefined,
  maxGrpcTimeoutMs: 0,
  grpcTimeoutOffsetMs: 0,
  maxStreamMs: undefined,
  hedgeOnPerTryTimeout: undefined,
  retry: undefined,
  hashPolicy: [],
  prefixRewrite: undefined,
  pathRewrite: undefined,
  regexRewrite: undefined,
  hostRewrite: undefined,
  autoHostRewrite: false,
  subset: {},
  mirrors: [],
  upgrades: [],
  priority: "default",
};

/** As Envoy writes that there is no limit. */
export const unlimited = 4_294_967_295;

type Chosen = "statPrefix" | "routes" | "filters" | "accessLogs" | "tracing" | "forwardClientCert";

/** Envoy's defaults, but for what a sidecar must not do: change letters of header names, refuse HTTP/1.0 or replace an id. */
export const managerDefaults: Omit<HttpConnectionManager, Chosen> = {
  codec: "auto",
  useRemoteAddress: false,
  xffTrustedHops: 0,
  internalAddresses: [],
  // Nobody in the mesh reads them, and they would cost each request; see docs/differences-from-envoy.md.
  suppressEnvoyHeaders: true,
  generateRequestId: true,
  preserveExternalRequestId: true,
  serverName: "heddle",
  serverHeader: "pass_through",
  via: "",
  clientCertDetails: { subject: true, uri: true, dns: false, cert: false },
  idleTimeoutMs: 3_600_000,
  streamIdleTimeoutMs: 300_000,
  streamFlushTimeoutMs: 300_000,
  requestTimeoutMs: 0,
  maxStreamMs: 0,
  requestHeadersTimeoutMs: 60_000,
  drainTimeoutMs: 5000,
  delayedCloseTimeoutMs: 1000,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxRequestHeadersBytes: 60 * 1024,
  maxRequestHeadersCount: 100,
  http1: http1Defaults,
  http2: http2Defaults,
  upgrades: ["websocket"],
  normalizePath: false,
  mergeSlashes: false,
  stripMatchingHostPort: false,
};

export const listenerBufferBytes = 1024 * 1024;
