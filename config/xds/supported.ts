// Which fields of which messages Heddle does something with. What is not here is an error with its path, never ignored.

const TABLE: { readonly [typeName: string]: string } = {
  // Listeners
  "envoy.config.listener.v3.Listener":
    "name address additional_addresses filter_chains use_original_dst default_filter_chain per_connection_buffer_limit_bytes listener_filters listener_filters_timeout continue_on_listener_filters_timeout traffic_direction enable_reuse_port bind_to_port",
  "envoy.config.listener.v3.AdditionalAddress": "address",
  "envoy.config.listener.v3.FilterChain":
    "filter_chain_match filters transport_socket transport_socket_connect_timeout name metadata",
  "envoy.config.listener.v3.FilterChainMatch":
    "destination_port prefix_ranges source_prefix_ranges source_ports server_names transport_protocol application_protocols",
  "envoy.config.listener.v3.Filter": "name typed_config",
  "envoy.config.listener.v3.ListenerFilter": "name typed_config",
  "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector": "",
  "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector": "",
  "envoy.extensions.filters.listener.original_dst.v3.OriginalDst": "",
  "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit": "stat_prefix token_bucket",
  "envoy.type.v3.TokenBucket": "max_tokens tokens_per_fill fill_interval",
  "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": "stat_prefix max_connections delay",
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy":
    "stat_prefix cluster weighted_clusters idle_timeout access_log max_connect_attempts",
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster": "clusters",
  "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight": "name weight",
  // stat_prefix is demanded by Envoy's rules and names nothing: statistics are labelled by listener and cluster.
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager":
    "codec_type stat_prefix rds route_config http_filters tracing common_http_protocol_options http_protocol_options http2_protocol_options server_name server_header_transformation max_request_headers_kb stream_idle_timeout stream_flush_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout access_log use_remote_address internal_address_config xff_num_trusted_hops via generate_request_id preserve_external_request_id forward_client_cert_details set_current_client_cert_details upgrade_configs normalize_path merge_slashes strip_matching_host_port",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.Tracing":
    // Heddle is parent-based; client_sampling and overall_sampling have no meaning there.
    "random_sampling provider",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.SetCurrentClientCertDetails":
    // The chain is not kept: a resumed session does not have it.
    "subject cert dns uri",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig":
    "upgrade_type enabled",
  "envoy.extensions.filters.network.http_connection_manager.v3.Rds": "config_source route_config_name",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter": "name typed_config is_optional disabled",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig":
    "cidr_ranges",
  "envoy.extensions.filters.http.router.v3.Router": "suppress_envoy_headers",
  "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig": "",

  // What listeners and clusters share
  "envoy.config.core.v3.Address": "socket_address",
  "envoy.config.core.v3.SocketAddress": "protocol address port_value",
  "envoy.config.core.v3.CidrRange": "address_prefix prefix_len",
  "envoy.config.core.v3.TransportSocket": "name typed_config",
  "envoy.config.core.v3.TypedExtensionConfig": "name typed_config",
  "envoy.config.core.v3.Metadata": "filter_metadata",
  "envoy.config.core.v3.Locality": "region zone sub_zone",
  "envoy.config.core.v3.HttpProtocolOptions":
    "idle_timeout max_connection_duration max_stream_duration max_headers_count max_response_headers_kb max_requests_per_connection",
  "envoy.config.core.v3.Http1ProtocolOptions":
    "allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers allow_chunked_length",
  "envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat": "stateful_formatter",
  "envoy.config.core.v3.Http2ProtocolOptions":
    "hpack_table_size max_concurrent_streams initial_stream_window_size initial_connection_window_size allow_connect max_outbound_frames max_outbound_control_frames max_consecutive_inbound_frames_with_empty_payload max_inbound_priority_frames_per_stream max_inbound_window_update_frames_per_data_frame_sent connection_keepalive",
  "envoy.config.core.v3.KeepaliveSettings": "interval timeout",
  "envoy.config.core.v3.DataSource": "filename inline_bytes inline_string environment_variable",
  "envoy.config.core.v3.ConfigSource": "ads self resource_api_version initial_fetch_timeout",
  "envoy.config.core.v3.AggregatedConfigSource": "",
  "envoy.config.core.v3.SelfConfigSource": "transport_api_version",
  // Envoy uses the default when no runtime layer overrides it; layers are refused, so the key never does anything.
  "envoy.config.core.v3.RuntimeFractionalPercent": "default_value runtime_key",
  "envoy.config.core.v3.RuntimeDouble": "default_value runtime_key",
  "envoy.type.v3.FractionalPercent": "numerator denominator",
  "envoy.type.v3.Percent": "value",
  "envoy.type.v3.Int64Range": "start end",
  "envoy.type.matcher.v3.StringMatcher": "exact prefix suffix safe_regex contains ignore_case",
  // `google_re2` only chose the engine, which is the one there is; its limit on program size is refused.
  "envoy.type.matcher.v3.RegexMatcher": "google_re2 regex",
  "envoy.type.matcher.v3.RegexMatcher.GoogleRE2": "",
  "envoy.type.matcher.v3.RegexMatchAndSubstitute": "pattern substitution",

  // What is recorded
  "envoy.config.accesslog.v3.AccessLog": "name typed_config",
  "envoy.extensions.access_loggers.file.v3.FileAccessLog": "path format json_format typed_json_format log_format",
  "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": "log_format",
  "envoy.extensions.access_loggers.stream.v3.StderrAccessLog": "log_format",
  "envoy.config.core.v3.SubstitutionFormatString": "text_format json_format text_format_source",
  "envoy.config.trace.v3.Tracing.Http": "name typed_config",
  "envoy.config.trace.v3.OpenTelemetryConfig": "grpc_service http_service service_name",
  "envoy.config.core.v3.GrpcService": "envoy_grpc timeout",
  "envoy.config.core.v3.GrpcService.EnvoyGrpc": "cluster_name authority",
  "envoy.config.core.v3.HttpService": "http_uri",
  "envoy.config.core.v3.HttpUri": "uri cluster timeout",

  // TLS
  "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer": "",
  "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext": "common_tls_context sni auto_host_sni",
  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext":
    "common_tls_context require_client_certificate disable_stateless_session_resumption",
  "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext":
    "tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config combined_validation_context alpn_protocols",
  "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext":
    "default_validation_context validation_context_sds_secret_config",
  "envoy.extensions.transport_sockets.tls.v3.TlsParameters":
    "tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves",
  "envoy.extensions.transport_sockets.tls.v3.TlsCertificate": "certificate_chain private_key",
  "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig": "name sds_config",
  "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext":
    "trusted_ca match_typed_subject_alt_names match_subject_alt_names trust_chain_verification",
  "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher": "san_type matcher",
  "envoy.extensions.transport_sockets.tls.v3.Secret": "name tls_certificate validation_context",

  // Routes
  "envoy.config.route.v3.RouteConfiguration":
    "name virtual_hosts vhds response_headers_to_add response_headers_to_remove request_headers_to_add request_headers_to_remove typed_per_filter_config",
  "envoy.config.route.v3.Vhds": "config_source",
  "envoy.config.route.v3.VirtualHost":
    "name domains routes request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config retry_policy hedge_policy include_request_attempt_count include_attempt_count_in_response include_is_timeout_retry_header rate_limits",
  "envoy.config.route.v3.HedgePolicy": "hedge_on_per_try_timeout",
  "envoy.config.route.v3.Route":
    "name match route redirect direct_response metadata typed_per_filter_config request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove",
  "envoy.config.route.v3.FilterConfig": "config is_optional disabled",
  "envoy.config.route.v3.RouteMatch":
    "prefix path safe_regex connect_matcher path_separated_prefix case_sensitive runtime_fraction headers query_parameters grpc",
  "envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions": "",
  "envoy.config.route.v3.RouteMatch.ConnectMatcher": "",
  "envoy.config.route.v3.HeaderMatcher":
    "name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match invert_match treat_missing_header_as_empty",
  "envoy.config.route.v3.QueryParameterMatcher": "name string_match present_match",
  "envoy.config.route.v3.RouteAction":
    "cluster cluster_header weighted_clusters cluster_not_found_response_code metadata_match prefix_rewrite regex_rewrite path_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex timeout idle_timeout retry_policy hedge_policy request_mirror_policies priority hash_policy max_grpc_timeout grpc_timeout_offset upgrade_configs max_stream_duration rate_limits include_vh_rate_limits",
  "envoy.config.route.v3.RouteAction.MaxStreamDuration":
    "max_stream_duration grpc_timeout_header_max grpc_timeout_header_offset",
  "envoy.config.route.v3.RouteAction.RequestMirrorPolicy": "cluster runtime_fraction",
  "envoy.config.route.v3.RouteAction.UpgradeConfig": "upgrade_type enabled",
  "envoy.config.route.v3.RouteAction.HashPolicy": "header cookie connection_properties query_parameter terminal",
  "envoy.config.route.v3.RouteAction.HashPolicy.Header": "header_name",
  "envoy.config.route.v3.RouteAction.HashPolicy.Cookie": "name ttl path",
  "envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties": "source_ip",
  "envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter": "name",
  "envoy.config.route.v3.RateLimit": "stage disable_key actions hits_addend",
  "envoy.config.route.v3.RateLimit.HitsAddend": "number",
  "envoy.config.route.v3.RateLimit.Action":
    "source_cluster destination_cluster request_headers query_parameters remote_address masked_remote_address generic_key header_value_match query_parameter_value_match",
  "envoy.config.route.v3.RateLimit.Action.SourceCluster": "",
  "envoy.config.route.v3.RateLimit.Action.DestinationCluster": "",
  "envoy.config.route.v3.RateLimit.Action.RemoteAddress": "",
  "envoy.config.route.v3.RateLimit.Action.RequestHeaders": "header_name descriptor_key skip_if_absent",
  "envoy.config.route.v3.RateLimit.Action.QueryParameters": "query_parameter_name descriptor_key skip_if_absent",
  "envoy.config.route.v3.RateLimit.Action.MaskedRemoteAddress": "v4_prefix_mask_len v6_prefix_mask_len",
  "envoy.config.route.v3.RateLimit.Action.GenericKey": "descriptor_value descriptor_key",
  "envoy.config.route.v3.RateLimit.Action.HeaderValueMatch": "descriptor_key descriptor_value expect_match headers",
  "envoy.config.route.v3.RateLimit.Action.QueryParameterValueMatch":
    "descriptor_key descriptor_value expect_match query_parameters",
  "envoy.config.route.v3.WeightedCluster": "clusters",
  "envoy.config.route.v3.WeightedCluster.ClusterWeight":
    "name weight metadata_match request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config host_rewrite_literal",
  "envoy.config.route.v3.RedirectAction":
    "https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query",
  "envoy.config.route.v3.DirectResponseAction": "status body",
  // host_selection_retry_max_attempts says how hard to look for an endpoint that was not tried; Heddle always finds one if there is.
  "envoy.config.route.v3.RetryPolicy":
    "retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers retriable_request_headers",
  "envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff": "reset_headers max_interval",
  "envoy.config.route.v3.RetryPolicy.ResetHeader": "name format",
  "envoy.extensions.retry.host.omit_host_metadata.v3.OmitHostMetadataConfig": "metadata_match",
  "envoy.config.route.v3.RetryPolicy.RetryBackOff": "base_interval max_interval",
  "envoy.config.route.v3.RetryPolicy.RetryHostPredicate": "name typed_config",
  "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate": "",
  "envoy.config.core.v3.HeaderValueOption": "header append append_action",
  "envoy.config.core.v3.HeaderValue": "key value",

  // Clusters
  "envoy.config.cluster.v3.Cluster":
    "transport_socket_matches name alt_stat_name type eds_cluster_config connect_timeout per_connection_buffer_limit_bytes lb_policy load_assignment health_checks circuit_breakers typed_extension_protocol_options dns_refresh_rate outlier_detection ring_hash_lb_config maglev_lb_config least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata close_connections_on_host_health_failure load_balancing_policy upstream_bind_config",
  "envoy.config.core.v3.BindConfig": "source_address extra_source_addresses",
  "envoy.config.core.v3.ExtraSourceAddress": "address",
  "envoy.config.cluster.v3.Cluster.TransportSocketMatch": "name match transport_socket",
  "envoy.config.cluster.v3.Cluster.EdsClusterConfig": "eds_config service_name",
  "envoy.config.cluster.v3.Cluster.SlowStartConfig": "slow_start_window aggression min_weight_percent",
  "envoy.config.cluster.v3.Cluster.RoundRobinLbConfig": "slow_start_config",
  "envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": "choice_count active_request_bias slow_start_config",
  "envoy.config.cluster.v3.Cluster.RingHashLbConfig": "minimum_ring_size maximum_ring_size hash_function",
  "envoy.config.cluster.v3.Cluster.MaglevLbConfig": "table_size",
  // update_merge_window says how long changes may wait to be taken together; here they are, at the first request that comes after.
  "envoy.config.cluster.v3.Cluster.CommonLbConfig":
    "healthy_panic_threshold locality_weighted_lb_config update_merge_window ignore_new_hosts_until_first_hc close_connections_on_host_set_change consistent_hashing_lb_config",
  "envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig": "",
  "envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig":
    "use_hostname_for_hashing hash_balance_factor",
  "envoy.config.cluster.v3.LoadBalancingPolicy": "policies",
  "envoy.config.cluster.v3.LoadBalancingPolicy.Policy": "typed_extension_config",
  "envoy.config.cluster.v3.CircuitBreakers": "thresholds",
  // Both priorities share connections and their queue, so the limits of these must be the same (circuit-limits.ts).
  "envoy.config.cluster.v3.CircuitBreakers.Thresholds":
    "priority max_connections max_pending_requests max_requests max_retries retry_budget",
  "envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": "budget_percent min_retry_concurrency",
  "envoy.config.cluster.v3.OutlierDetection":
    "consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure enforcing_consecutive_gateway_failure split_external_local_origin_errors consecutive_local_origin_failure enforcing_consecutive_local_origin_failure failure_percentage_threshold enforcing_failure_percentage failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time max_ejection_time_jitter enforcing_local_origin_success_rate enforcing_failure_percentage_local_origin successful_active_health_check_uneject_host always_eject_one_host",
  "envoy.config.core.v3.HealthCheck":
    "timeout interval interval_jitter unhealthy_threshold healthy_threshold http_health_check tcp_health_check grpc_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval unhealthy_edge_interval healthy_edge_interval initial_jitter interval_jitter_percent reuse_connection",
  "envoy.config.core.v3.HealthCheck.HttpHealthCheck":
    "host path expected_statuses retriable_statuses codec_client_type method",
  "envoy.config.core.v3.HealthCheck.TcpHealthCheck": "send receive",
  "envoy.config.core.v3.HealthCheck.Payload": "text binary",
  "envoy.config.core.v3.HealthCheck.GrpcHealthCheck": "service_name authority",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
    "common_http_protocol_options explicit_http_config use_downstream_protocol_config auto_config",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig":
    "http_protocol_options http2_protocol_options",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig":
    "http_protocol_options http2_protocol_options",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions.AutoHttpConfig":
    "http_protocol_options http2_protocol_options",
  "envoy.extensions.load_balancing_policies.cluster_provided.v3.ClusterProvided": "",
  "envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig":
    "slow_start_window aggression min_weight_percent",
  "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest":
    "choice_count active_request_bias slow_start_config locality_lb_config enable_full_scan selection_method",
  // zone_aware_lb_config compares with the instances of the proxy's own service (`local_cluster_name`), which it does not have.
  "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig": "locality_weighted_lb_config",
  "envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig": "",
  "envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig":
    "use_hostname_for_hashing hash_balance_factor",
  "envoy.extensions.load_balancing_policies.maglev.v3.Maglev":
    "table_size consistent_hashing_lb_config locality_weighted_lb_config",
  "envoy.extensions.load_balancing_policies.random.v3.Random": "locality_lb_config",
  "envoy.extensions.load_balancing_policies.ring_hash.v3.RingHash":
    "minimum_ring_size maximum_ring_size hash_function use_hostname_for_hashing hash_balance_factor consistent_hashing_lb_config locality_weighted_lb_config",
  "envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin": "slow_start_config locality_lb_config",
  "envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3.ClientSideWeightedRoundRobin":
    "enable_oob_load_report blackout_period weight_expiration_period weight_update_period error_utilization_penalty metric_names_for_computing_utilization slow_start_config",
  "envoy.extensions.load_balancing_policies.wrr_locality.v3.WrrLocality": "endpoint_picking_policy",

  // Endpoints
  "envoy.config.endpoint.v3.ClusterLoadAssignment": "cluster_name endpoints policy",
  "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": "overprovisioning_factor",
  "envoy.config.endpoint.v3.LocalityLbEndpoints": "locality lb_endpoints load_balancing_weight priority",
  "envoy.config.endpoint.v3.LbEndpoint": "endpoint health_status metadata load_balancing_weight",
  "envoy.config.endpoint.v3.Endpoint": "address hostname health_check_config",
  "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig": "port_value",

  // How a proxy starts
  "envoy.config.bootstrap.v3.Bootstrap": "node static_resources dynamic_resources admin",
  "envoy.config.bootstrap.v3.Bootstrap.StaticResources": "listeners clusters secrets",
  "envoy.config.bootstrap.v3.Bootstrap.DynamicResources": "lds_config cds_config ads_config",
  "envoy.config.bootstrap.v3.Admin": "address",
  "envoy.config.core.v3.Node": "id cluster metadata locality",
  "envoy.config.core.v3.ApiConfigSource": "api_type transport_api_version grpc_services set_node_on_first_message_only",

  "xds.type.v3.TypedStruct": "type_url value",
  "udpa.type.v1.TypedStruct": "type_url value",
};

const EMPTY: ReadonlySet<string> = new Set();
const sets = new Map(Object.entries(TABLE).map(([name, fields]) => [name, new Set(fields.split(" "))]));

/** The fields of a message that Heddle supports; none of a message that is not in the table. */
export function supportedFields(typeName: string): ReadonlySet<string> {
  return sets.get(typeName) ?? EMPTY;
}

/** Every message of the table, for the test that holds it against the descriptors. */
export function supportedTypes(): readonly string[] {
  return Object.keys(TABLE);
}
