// What a proxy listens on and how it treats the connections it accepts there.
import type { AccessLog, TracingConfig } from "./telemetry.ts";
import type { Cidr, SocketAddress } from "./address.ts";
import type { FilterConfig } from "./filter-config.ts";
import type { RouteTable } from "./route.ts";
import type { DownstreamTls } from "./tls.ts";

/** Inbound: towards our own application; outbound: from it. Envoy's `traffic_direction`. */
export type Direction = "inbound" | "outbound" | "unspecified";

/** One listening socket. Envoy: `config.listener.v3.Listener`. */
export interface Listener {
  readonly name: string;
  readonly address: SocketAddress;
  /** More of the same, for a listener without a socket of its own alone. Envoy: `additional_addresses`. */
  readonly additionalAddresses?: readonly SocketAddress[];
  readonly direction: Direction;
  /**
   * For a gRPC client that speaks xDS itself: no socket at all, the only chain's HTTP is written as Envoy's `api_listener`, and
   * the name is the client's target. Only ever written, never read.
   */
  readonly isApi?: boolean;
  /** False: no socket of its own, it serves connections of its direction that were going to one of its addresses (`useOriginalDst`). */
  readonly bindToPort: boolean;
  /**
   * The original destination (SO_ORIGINAL_DST) of its connections counts. One that a listener without a socket has as its address
   * is handed over to that; the others stay, and their original destination is what filter chains match.
   */
  readonly useOriginalDst: boolean;
  /** Look at the first bytes: ClientHello (SNI, ALPN), HTTP preface. */
  readonly inspectTls: boolean;
  readonly inspectHttp: boolean;
  /** Longest wait for those bytes in ms; 0 = no limit. Envoy `listener_filters_timeout`, 15 s. */
  readonly inspectTimeoutMs: number;
  /** After that wait: go on with what is known (true) or close (false). */
  readonly continueOnInspectTimeout: boolean;
  readonly filterChains: readonly FilterChain[];
  readonly defaultFilterChain: FilterChain | undefined;
  /** Bytes that may be buffered for one connection before reading stops. Envoy's default 1 MiB. */
  readonly perConnectionBufferLimitBytes: number;
  /** How fast connections are taken; those beyond are closed at once. Envoy: the listener filter `local_ratelimit`. None: as fast as they come. */
  readonly connectionRate?: ConnectionRate;
}

/** A token bucket; each connection takes one. */
export interface ConnectionRate {
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
}

/** Connections of one chain, in all workers; TLS handshakes count. */
export interface ConnectionLimit {
  readonly maxConnections: number;
  /** A connection beyond the limit is closed after so long. */
  readonly delayMs: number;
}

/** Which connections a chain is for; all given parts must match, the most specific chain wins (Envoy's order). */
export interface FilterChainMatch {
  readonly destinationPort: number | undefined;
  readonly prefixRanges: readonly Cidr[];
  readonly serverNames: readonly string[];
  readonly transportProtocol: "tls" | "raw_buffer" | undefined;
  readonly applicationProtocols: readonly string[];
  readonly sourcePrefixRanges: readonly Cidr[];
  readonly sourcePorts: readonly number[];
}

export interface FilterChain {
  readonly name: string;
  readonly match: FilterChainMatch;
  readonly tls: DownstreamTls | undefined;
  /** Longest TLS handshake in ms; Envoy `transport_socket_connect_timeout`. 0 = none. */
  readonly handshakeTimeoutMs: number;
  /** Envoy: the network filter `connection_limit`. None: as many as there are file descriptors. */
  readonly connectionLimit?: ConnectionLimit;
  readonly network: NetworkFilter;
}

export type NetworkFilter =
  | { readonly kind: "http"; readonly http: HttpConnectionManager }
  | { readonly kind: "tcp"; readonly tcp: TcpProxy };

/** Opaque bytes from here to a cluster. Envoy `TcpProxy`. */
export interface TcpProxy {
  readonly statPrefix: string;
  readonly clusters: readonly { readonly name: string; readonly weight: number }[];
  /** Closes a connection without bytes in either direction for so long; 0 = never. Envoy: 1 h. */
  readonly idleTimeoutMs: number;
  readonly maxConnectAttempts: number;
  readonly accessLogs: readonly AccessLog[];
}

export type RouteSource =
  | { readonly kind: "inline"; readonly table: RouteTable }
  | { readonly kind: "rds"; readonly name: string };

/** How a listener treats HTTP. Envoy `HttpConnectionManager`; durations in ms, 0 = off. */
export interface HttpConnectionManager {
  readonly statPrefix: string;
  readonly codec: "auto" | "http1" | "http2";
  readonly routes: RouteSource;
  /** In order, without the router, which is always last. */
  readonly filters: readonly FilterConfig[];
  readonly accessLogs: readonly AccessLog[];
  readonly tracing: TracingConfig | undefined;
  /** Put the peer's address into `x-forwarded-for`; Envoy `use_remote_address`. */
  readonly useRemoteAddress: boolean;
  readonly xffTrustedHops: number;
  /** Who is internal, whose `x-envoy-*` fields are believed; none: nobody (Envoy's default since 1.33). */
  readonly internalAddresses: readonly Cidr[];
  /** The router adds no `x-envoy-*` fields of its own. */
  readonly suppressEnvoyHeaders: boolean;
  /** `append`: our element of `Forwarded` (RFC 7239) is added. Ours alone: `heddle.http` in the metadata of the filter chain. */
  readonly forwarded?: "append";
  /** Names of what captured connections are for, and all below them: requests that name another host are counted. Ours alone, as above. */
  readonly hosts?: readonly string[];
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly serverName: string;
  /** `undefined` = the `server` header of the upstream passes (Envoy PASS_THROUGH). */
  readonly serverHeader: "overwrite" | "append_if_absent" | "pass_through";
  readonly via: string;
  readonly forwardClientCert: "sanitize" | "forward_only" | "append_forward" | "sanitize_set" | "always_forward_only";
  readonly clientCertDetails: {
    readonly subject: boolean;
    readonly uri: boolean;
    readonly dns: boolean;
    readonly cert: boolean;
  };
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly streamFlushTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** The longest life of a stream; Envoy `max_stream_duration`. */
  readonly maxStreamMs: number;
  readonly requestHeadersTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly delayedCloseTimeoutMs: number;
  readonly maxConnectionDurationMs: number;
  readonly maxRequestsPerConnection: number;
  readonly maxRequestHeadersBytes: number;
  readonly maxRequestHeadersCount: number;
  readonly http1: Http1Options;
  readonly http2: Http2Options;
  /** Upper-case or lower-case upgrade names that are let through, as `websocket`, `CONNECT`. */
  readonly upgrades: readonly string[];
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly stripMatchingHostPort: boolean;
}

export interface Http1Options {
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly enableTrailers: boolean;
  /** Header names keep the letters that the sender used. Heddle's default: true. */
  readonly preserveHeaderCase: boolean;
  readonly allowAbsoluteUrl: boolean;
  readonly allowChunkedLength: boolean;
}

export interface Http2Options {
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowBytes: number;
  readonly initialConnectionWindowBytes: number;
  readonly hpackTableSizeBytes: number;
  readonly maxOutboundFrames: number;
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveInboundEmptyDataFrames: number;
  readonly maxInboundPriorityFramesPerStream: number;
  readonly maxInboundWindowUpdateFramesPerDataFrame: number;
  /** PING when idle for so long; 0 = never. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly allowConnect: boolean;
}
