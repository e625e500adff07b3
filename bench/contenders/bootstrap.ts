// The bootstraps that Heddle and Envoy are both given: the six filters on, as far as each knows them.
import type { Party } from "../tools/certificates.ts";

const TYPE = "type.googleapis.com/";
const EXTENSIONS = `${TYPE}envoy.extensions.`;

export type Protocol = "http1" | "http2";

export interface BootstrapParts {
  readonly admin: number;
  readonly metrics: number;
  readonly listeners: readonly unknown[];
  readonly clusters: readonly unknown[];
}

export function makeBootstrap({ admin, metrics, listeners, clusters }: BootstrapParts): unknown {
  return { ...makeNode(admin, metrics), static_resources: { listeners, clusters } };
}

/** Listeners, clusters and routes come by delta ADS; the cluster to ask is the only one in the file. */
export function makeDiscoveredBootstrap(admin: number, metrics: number, discovery: number): unknown {
  const ads = { ads: {}, resource_api_version: "V3" };
  return {
    ...makeNode(admin, metrics),
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "discovery" } }],
      },
    },
    static_resources: { clusters: [basicCluster("discovery", "http2", discovery)] },
  };
}

function makeNode(admin: number, metrics: number): object {
  return {
    node: { id: "bench", cluster: "bench", metadata: { heddle: { metrics: { address: "127.0.0.1", port: metrics } } } },
    admin: { address: address(admin) },
  };
}

/** How a listener takes mutual TLS: alone, or beside plaintext on the same port, told apart by the first bytes. */
export interface ListenerTls {
  readonly mode: "strict" | "permissive";
  readonly own: Party;
  readonly bundlePem: string;
  readonly peer: string | undefined;
}

export interface ListenerParts {
  readonly port: number;
  readonly protocol: Protocol | "tcp";
  readonly accessLog: string;
  /** Port that takes spans. */
  readonly collector: number;
  readonly tls?: ListenerTls;
  /** Routes come by discovery under this name; else all go to the cluster `upstream`. */
  readonly routeTable?: string;
}

export function makeListener(parts: ListenerParts): unknown {
  const { tls, port, protocol } = parts;
  const filters = [protocol === "tcp" ? tcpProxy(parts) : connectionManager(protocol, parts)];
  const secure = tls && { name: "mesh", filters, transport_socket: downstreamTls(tls) };
  return {
    name: "bench",
    address: address(port),
    traffic_direction: tls === undefined ? "OUTBOUND" : "INBOUND",
    ...(tls?.mode === "permissive"
      ? {
          listener_filters: [
            {
              name: "envoy.filters.listener.tls_inspector",
              typed_config: { "@type": `${EXTENSIONS}filters.listener.tls_inspector.v3.TlsInspector` },
            },
          ],
          filter_chains: [
            { ...secure, filter_chain_match: { transport_protocol: "tls" } },
            { name: "plaintext", filters, filter_chain_match: { transport_protocol: "raw_buffer" } },
          ],
        }
      : { filter_chains: [secure ?? { filters }] }),
  };
}

function tcpProxy({ accessLog }: ListenerParts): unknown {
  return {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: "bench",
      cluster: "upstream",
      access_log: [
        fileLog(accessLog, { time: "%START_TIME%", upstream: "%UPSTREAM_HOST%", flags: "%RESPONSE_FLAGS%" }),
      ],
    },
  };
}

function fileLog(file: string, format: object): unknown {
  return {
    name: "envoy.access_loggers.file",
    typed_config: {
      "@type": `${EXTENSIONS}access_loggers.file.v3.FileAccessLog`,
      path: file,
      log_format: { json_format: format },
    },
  };
}

function connectionManager(protocol: Protocol, { accessLog, collector, tls, routeTable }: ListenerParts): unknown {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "bench",
      codec_type: protocol === "http1" ? "HTTP1" : "HTTP2",
      generate_request_id: true,
      ...(tls === undefined
        ? {}
        : { forward_client_cert_details: "SANITIZE_SET", set_current_client_cert_details: { uri: true } }),
      access_log: [
        fileLog(accessLog, {
          time: "%START_TIME%",
          method: "%REQ(:METHOD)%",
          path: "%REQ(:PATH)%",
          authority: "%REQ(:AUTHORITY)%",
          protocol: "%PROTOCOL%",
          status: "%RESPONSE_CODE%",
          flags: "%RESPONSE_FLAGS%",
          duration_ms: "%DURATION%",
          request_id: "%REQ(X-REQUEST-ID)%",
          upstream: "%UPSTREAM_HOST%",
          route: "%ROUTE_NAME%",
        }),
      ],
      tracing: {
        random_sampling: { value: 1 },
        provider: {
          name: "envoy.tracers.opentelemetry",
          typed_config: {
            "@type": `${TYPE}envoy.config.trace.v3.OpenTelemetryConfig`,
            service_name: "bench",
            http_service: {
              // Envoy goes by the cluster, Heddle's exporter by the address.
              http_uri: { uri: `http://127.0.0.1:${collector}/v1/traces`, cluster: "collector", timeout: "5s" },
            },
          },
        },
      },
      ...(routeTable === undefined
        ? { route_config: makeRouteTable("bench", [{ name: "all", domains: ["*"], routes: standardRoutes }]) }
        : { rds: { route_config_name: routeTable, config_source: { ads: {}, resource_api_version: "V3" } } }),
      http_filters: httpFilters(tls),
    },
  };
}

export function makeRouteTable(name: string, hosts: readonly object[]): object {
  return { name, virtual_hosts: hosts };
}

/** A route by header that does not match, and the one that does. */
export const standardRoutes: readonly unknown[] = [
  {
    name: "v2",
    match: { prefix: "/", headers: [{ name: "version", string_match: { exact: "v2" } }] },
    route: { cluster: "upstream" },
  },
  {
    name: "default",
    match: { prefix: "/" },
    route: {
      cluster: "upstream",
      timeout: "60s",
      retry_policy: {
        retry_on: "connect-failure,refused-stream,retriable-status-codes",
        retriable_status_codes: [503],
        num_retries: 2,
      },
    },
  },
];

function httpFilters(tls: ListenerTls | undefined): readonly unknown[] {
  // The application's own proxy believes it; a proxy behind another one believes the identity of that.
  const trust = tls?.peer === undefined ? { trustsLocal: true } : { trustedIdentities: [tls.peer] };
  return [
    own("heddle.tracing", "trace_context.v1.TraceContext", { samplingPercent: 1 }),
    own("heddle.mtls", "mtls.v1.Mtls", { mode: (tls?.mode ?? "permissive").toUpperCase() }),
    own("heddle.routing", "routing.v1.Routing", { sources: [{ header: { name: "x-tenant", ...trust } }] }),
    {
      name: "envoy.filters.http.local_ratelimit",
      typed_config: {
        "@type": `${EXTENSIONS}filters.http.local_ratelimit.v3.LocalRateLimit`,
        stat_prefix: "bench",
        token_bucket: { max_tokens: 16_000_000, tokens_per_fill: 16_000_000, fill_interval: "1s" },
        filter_enabled: { default_value: { numerator: 100, denominator: "HUNDRED" } },
        filter_enforced: { default_value: { numerator: 100, denominator: "HUNDRED" } },
      },
    },
    own("heddle.circuit_breaker", "circuit_breaker.v1.CircuitBreaker", {}),
    own("heddle.retry", "retry.v1.Retry", {}),
    {
      name: "envoy.filters.http.router",
      typed_config: { "@type": `${EXTENSIONS}filters.http.router.v3.Router`, suppress_envoy_headers: true },
    },
  ];
}

/** Heddle's own filters; Envoy skips what it does not know because it is optional. */
function own(name: string, message: string, value: object): unknown {
  return {
    name,
    is_optional: true,
    typed_config: { "@type": `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}heddle.filters.${message}`, value },
  };
}

/** The other side of the mesh path: Heddle finds a peer in the endpoint's metadata, Envoy in the TLS context. */
export interface PeerTls {
  readonly own: Party;
  readonly bundlePem: string;
  readonly peer: string;
}

export function makeCluster(name: string, protocol: Protocol, port: number, tls?: PeerTls): unknown {
  const mesh = tls && { inboundAddress: "127.0.0.1", inboundPort: port, identity: tls.peer, version: "" };
  return {
    ...basicCluster(name, protocol, port, mesh && { filter_metadata: { "heddle.mesh": mesh } }),
    metadata: {
      filter_metadata: {
        "heddle.breaker": { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 },
      },
    },
    ...(tls === undefined ? {} : { transport_socket: upstreamTls(tls) }),
    outlier_detection: { consecutive_5xx: 5, interval: "10s", base_ejection_time: "30s" },
  };
}

/** Takes spans: any application of the bench that answers. */
export function makeCollectorCluster(port: number): unknown {
  return basicCluster("collector", "http1", port);
}

function basicCluster(name: string, protocol: Protocol, port: number, metadata?: object): object {
  const endpoint = { endpoint: { address: address(port) }, ...(metadata === undefined ? {} : { metadata }) };
  return {
    name,
    type: "STATIC",
    connect_timeout: "1s",
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: protocol === "http1" ? { http_protocol_options: {} } : { http2_protocol_options: {} },
      },
    },
    circuit_breakers: { thresholds: [{ max_connections: 1024, max_pending_requests: 1024, max_requests: 4096 }] },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [endpoint] }] },
  };
}

function downstreamTls({ own: party, bundlePem, peer }: ListenerTls): unknown {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext`,
      require_client_certificate: true,
      common_tls_context: commonTls(party, bundlePem, peer),
    },
  };
}

function upstreamTls({ own: party, bundlePem, peer }: PeerTls): unknown {
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${EXTENSIONS}transport_sockets.tls.v3.UpstreamTlsContext`,
      sni: "bench.internal",
      common_tls_context: commonTls(party, bundlePem, peer),
    },
  };
}

/** TLS 1.3 with h2, X25519; the peer must show this SPIFFE id, or any under the bundle. */
function commonTls(party: Party, bundlePem: string, peer: string | undefined): unknown {
  const names = [{ san_type: "URI", matcher: { exact: peer } }];
  return {
    alpn_protocols: ["h2"],
    tls_params: {
      tls_minimum_protocol_version: "TLSv1_3",
      tls_maximum_protocol_version: "TLSv1_3",
      ecdh_curves: ["X25519"],
    },
    tls_certificates: [
      { certificate_chain: { inline_string: party.chainPem }, private_key: { inline_string: party.keyPem } },
    ],
    validation_context: {
      trusted_ca: { inline_string: bundlePem },
      ...(peer === undefined ? {} : { match_typed_subject_alt_names: names }),
    },
  };
}

function address(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
