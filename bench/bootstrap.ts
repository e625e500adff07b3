// The one bootstrap that Heddle and Envoy are both given: the six filters on, as far as each knows them.

const TYPE = "type.googleapis.com/";
const EXTENSIONS = `${TYPE}envoy.extensions.`;

export interface BenchPorts {
  readonly admin: number;
  readonly listener: number;
  readonly upstream: number;
}

/** `protocol` is spoken on both sides of the proxy. */
export function makeBootstrap(
  protocol: "http1" | "http2",
  ports: BenchPorts,
  accessLog: string,
  metrics: number,
): unknown {
  return {
    node: { id: "bench", cluster: "bench", metadata: { heddle: { metrics: { address: "127.0.0.1", port: metrics } } } },
    admin: { address: address(ports.admin) },
    static_resources: {
      listeners: [
        {
          name: "bench",
          address: address(ports.listener),
          filter_chains: [
            {
              filters: [
                {
                  name: "envoy.filters.network.http_connection_manager",
                  typed_config: connectionManager(protocol, accessLog),
                },
              ],
            },
          ],
        },
      ],
      clusters: [cluster(protocol, ports.upstream)],
    },
  };
}

function connectionManager(protocol: "http1" | "http2", accessLog: string): unknown {
  return {
    "@type": `${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    codec_type: protocol === "http1" ? "HTTP1" : "HTTP2",
    generate_request_id: true,
    access_log: [
      {
        name: "envoy.access_loggers.file",
        typed_config: {
          "@type": `${EXTENSIONS}access_loggers.file.v3.FileAccessLog`,
          path: accessLog,
          log_format: {
            json_format: {
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
            },
          },
        },
      },
    ],
    route_config: {
      name: "bench",
      virtual_hosts: [
        {
          name: "all",
          domains: ["*"],
          routes: [
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
                timeout: "15s",
                retry_policy: {
                  retry_on: "connect-failure,refused-stream,retriable-status-codes",
                  retriable_status_codes: [503],
                  num_retries: 2,
                },
              },
            },
          ],
        },
      ],
    },
    http_filters: [
      own("heddle.tracing", "trace_context.v1.TraceContext", { samplingPercent: 1 }),
      own("heddle.mtls", "mtls.v1.Mtls", { mode: "PERMISSIVE" }),
      own("heddle.routing", "routing.v1.Routing", {
        sources: [{ header: { name: "x-tenant", trustsLocal: true } }],
      }),
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
      { name: "envoy.filters.http.router", typed_config: { "@type": `${EXTENSIONS}filters.http.router.v3.Router` } },
    ],
  };
}

/** Heddle's own filters; Envoy skips what it does not know because it is optional. */
function own(name: string, message: string, value: object): unknown {
  return {
    name,
    is_optional: true,
    typed_config: { "@type": `${TYPE}xds.type.v3.TypedStruct`, type_url: `${TYPE}heddle.filters.${message}`, value },
  };
}

function cluster(protocol: "http1" | "http2", port: number): unknown {
  return {
    name: "upstream",
    type: "STATIC",
    connect_timeout: "1s",
    metadata: {
      filter_metadata: {
        "heddle.breaker": { volumeThreshold: 20, errorPercent: 50, windowMs: 10_000, sleepWindowMs: 5000 },
      },
    },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: protocol === "http1" ? { http_protocol_options: {} } : { http2_protocol_options: {} },
      },
    },
    circuit_breakers: { thresholds: [{ max_connections: 1024, max_pending_requests: 1024, max_requests: 4096 }] },
    outlier_detection: { consecutive_5xx: 5, interval: "10s", base_ejection_time: "30s" },
    load_assignment: {
      cluster_name: "upstream",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }],
    },
  };
}

function address(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
