// Listener: a socket, its filter chains and what is looked at before one is chosen, message <-> model.
import { create } from "@bufbuild/protobuf";
import type {
  ConnectionLimit,
  ConnectionRate,
  Direction,
  FilterChain,
  FilterChainMatch,
  Listener,
  NetworkFilter,
} from "../model/listener.ts";
import { addressFromWire, addressToWire, cidrFromWire, cidrToWire } from "./address.ts";
import { pack, unpack } from "./any.ts";
import { managerFromWire, managerToWire } from "./connection-manager.ts";
import {
  connectionLimitFromWire,
  connectionLimitToWire,
  connectionRateFromWire,
  connectionRateToWire,
} from "./connection-limits.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, given, unless } from "./fields.ts";
import { ListenerSchema, type Listener as WireListener } from "./gen/envoy/config/listener/v3/listener_pb.ts";
import {
  FilterChainMatchSchema,
  FilterChainSchema,
  FilterSchema,
  ListenerFilterSchema,
  type Filter,
  type FilterChain as WireChain,
  type FilterChainMatch as WireMatch,
  type ListenerFilter,
} from "./gen/envoy/config/listener/v3/listener_components_pb.ts";
import { TrafficDirection } from "./gen/envoy/config/core/v3/base_pb.ts";
import { HttpInspectorSchema } from "./gen/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.ts";
import { LocalRateLimitSchema } from "./gen/envoy/extensions/filters/listener/local_ratelimit/v3/local_ratelimit_pb.ts";
import { OriginalDstSchema } from "./gen/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.ts";
import { TlsInspectorSchema } from "./gen/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.ts";
import { ConnectionLimitSchema } from "./gen/envoy/extensions/filters/network/connection_limit/v3/connection_limit_pb.ts";
import { HttpConnectionManagerSchema } from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { TcpProxySchema } from "./gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts";
import { EncodeError, type Scope } from "./issues.ts";
import { HTTP_KEY } from "./metadata-keys.ts";
import { metadataScope, metadataToWire } from "./metadata.ts";
import { tcpProxyFromWire, tcpProxyToWire } from "./tcp-proxy.ts";
import { downstreamTlsFromWire, downstreamTlsToWire } from "./tls.ts";

/** Envoy's (expectations.md). */
const BUFFER_LIMIT_BYTES = 1024 * 1024;
const INSPECT_TIMEOUT_MS = 15_000;
/** Envoy has none: a handshake that never ends would stay for ever. `0s` says so on purpose. */
const HANDSHAKE_TIMEOUT_MS = 15_000;

const DIRECTIONS: { readonly [direction in Direction]: TrafficDirection } = {
  unspecified: TrafficDirection.UNSPECIFIED,
  inbound: TrafficDirection.INBOUND,
  outbound: TrafficDirection.OUTBOUND,
};

export function listenerFromWire(wire: WireListener, scope: Scope): Listener {
  const chains = wire.filterChains.map((chain, index) => chainFromWire(chain, scope.field("filter_chains").at(index)));
  checkChains(chains, wire, scope);
  const inspectors = inspectorsFromWire(wire.listenerFilters, scope.field("listener_filters"));
  const direction = Object.entries(DIRECTIONS).find(([, code]) => code === wire.trafficDirection)?.[0] as
    | Direction
    | undefined;
  if (wire.enableReusePort === false)
    scope.field("enable_reuse_port").unsupported("workers share ports by SO_REUSEPORT");
  return {
    name: wire.name,
    address: addressFromWire(wire.address, scope.field("address"), "ip"),
    ...additionalFromWire(wire, scope.field("additional_addresses")),
    direction: direction ?? "unspecified",
    bindToPort: wire.bindToPort ?? true,
    useOriginalDst: (wire.useOriginalDst ?? false) || inspectors.originalDst,
    // Envoy puts the TLS inspector in by itself where a chain needs what it finds out.
    inspectTls: inspectors.tls || chains.some((chain) => needsTlsInspector(chain.match)),
    inspectHttp: inspectors.http,
    inspectTimeoutMs: toMsOr(wire.listenerFiltersTimeout, INSPECT_TIMEOUT_MS),
    continueOnInspectTimeout: wire.continueOnListenerFiltersTimeout,
    filterChains: chains,
    defaultFilterChain:
      wire.defaultFilterChain && chainFromWire(wire.defaultFilterChain, scope.field("default_filter_chain")),
    perConnectionBufferLimitBytes: wire.perConnectionBufferLimitBytes ?? BUFFER_LIMIT_BYTES,
    ...given("connectionRate", inspectors.connectionRate),
  };
}

function additionalFromWire(wire: WireListener, scope: Scope): Pick<Listener, "additionalAddresses"> {
  if (wire.additionalAddresses.length === 0) return {};
  if (wire.bindToPort !== false) scope.unsupported("a listener with a socket has one address");
  const additionalAddresses = wire.additionalAddresses.map(({ address }, index) =>
    addressFromWire(address, scope.at(index).field("address"), "ip"),
  );
  return { additionalAddresses };
}

function needsTlsInspector(match: FilterChainMatch): boolean {
  if (match.transportProtocol !== undefined) return match.transportProtocol === "tls";
  return match.serverNames.length > 0 || match.applicationProtocols.length > 0;
}

/** Which chain serves a connection must never be a matter of chance. */
function checkChains(chains: readonly FilterChain[], wire: WireListener, scope: Scope): void {
  if (chains.length === 0 && wire.defaultFilterChain === undefined)
    scope.field("filter_chains").invalid("must have at least one filter chain");
  const seen = new Map<string, number>();
  for (const [index, chain] of chains.entries()) {
    for (const key of combinationsOf(chain.match)) {
      const other = seen.get(key);
      if (other !== undefined) {
        const which = other === index ? "itself" : `filter_chains[${other}]`;
        scope.field("filter_chains").at(index).invalid(`has matching rules that overlap with ${which}`);
        break;
      }
      seen.set(key, index);
    }
  }
}

/** Every combination of values that a chain matches, as Envoy keeps them: each may belong to one chain only. */
function combinationsOf(match: FilterChainMatch): readonly string[] {
  const parts: readonly (readonly unknown[])[] = [
    [match.destinationPort],
    match.prefixRanges,
    match.serverNames,
    [match.transportProtocol],
    match.applicationProtocols,
    match.sourcePrefixRanges,
    match.sourcePorts,
  ];
  let keys = [""];
  for (const part of parts) {
    const values = part.length === 0 ? ["any"] : part.map((value) => JSON.stringify(value) ?? "any");
    keys = keys.flatMap((key) => values.map((value) => `${key}|${value}`));
  }
  return keys;
}

interface Inspectors {
  readonly tls: boolean;
  readonly http: boolean;
  readonly originalDst: boolean;
  readonly connectionRate: ConnectionRate | undefined;
}

function inspectorsFromWire(filters: readonly ListenerFilter[], scope: Scope): Inspectors {
  const found = new Set<string>();
  let connectionRate: ConnectionRate | undefined;
  for (const [index, filter] of filters.entries()) {
    if (filter.configType.case === "configDiscovery") continue;
    const at = scope.at(index).field("typed_config");
    const schemas = [TlsInspectorSchema, HttpInspectorSchema, OriginalDstSchema, LocalRateLimitSchema];
    const inspector = unpack(filter.configType.value, schemas, at, filter.name);
    if (inspector === undefined) continue;
    found.add(inspector.$typeName);
    if (inspector.$typeName !== LocalRateLimitSchema.typeName) continue;
    if (index > 0) scope.at(index).unsupported("it must come first: connections are counted before anything is read");
    connectionRate = connectionRateFromWire(inspector, at);
  }
  return {
    tls: found.has(TlsInspectorSchema.typeName),
    http: found.has(HttpInspectorSchema.typeName),
    originalDst: found.has(OriginalDstSchema.typeName),
    connectionRate,
  };
}

function chainFromWire(wire: WireChain, scope: Scope): FilterChain {
  const tls = downstreamTlsFromWire(wire.transportSocket, scope.field("transport_socket"));
  return {
    name: wire.name,
    match: matchFromWire(wire.filterChainMatch, scope.field("filter_chain_match")),
    tls,
    handshakeTimeoutMs: toMsOr(wire.transportSocketConnectTimeout, tls === undefined ? 0 : HANDSHAKE_TIMEOUT_MS),
    ...filtersFromWire(wire.filters, scope.field("filters"), httpSettingsFromWire(wire, scope)),
  };
}

function matchFromWire(wire: WireMatch | undefined, scope: Scope): FilterChainMatch {
  const transport = wire?.transportProtocol ?? "";
  if (transport !== "" && transport !== "tls" && transport !== "raw_buffer") {
    scope.field("transport_protocol").unsupported(`only tls and raw_buffer are supported: got "${transport}"`);
  }
  for (const [index, name] of (wire?.serverNames ?? []).entries()) {
    if (name.slice(1).includes("*")) {
      scope.field("server_names").at(index).invalid(`a wildcard may only come first: got "${name}"`);
    }
  }
  return {
    destinationPort: wire?.destinationPort,
    prefixRanges: (wire?.prefixRanges ?? []).map((item, index) =>
      cidrFromWire(item, scope.field("prefix_ranges").at(index)),
    ),
    serverNames: wire?.serverNames ?? [],
    transportProtocol: transport === "tls" || transport === "raw_buffer" ? transport : undefined,
    applicationProtocols: wire?.applicationProtocols ?? [],
    sourcePrefixRanges: (wire?.sourcePrefixRanges ?? []).map((item, index) =>
      cidrFromWire(item, scope.field("source_prefix_ranges").at(index)),
    ),
    sourcePorts: wire?.sourcePorts ?? [],
  };
}

type HttpSettings = Pick<Extract<NetworkFilter, { kind: "http" }>["http"], "forwarded" | "hosts">;

/** Settings of HTTP that Envoy's messages have no field for; what is not known is refused. */
function httpSettingsFromWire(wire: WireChain, scope: Scope): HttpSettings {
  const { forwarded, hosts, ...others } = wire.metadata?.filterMetadata[HTTP_KEY] ?? {};
  const at = metadataScope(scope.field("metadata"), HTTP_KEY);
  for (const name of Object.keys(others)) at.field(name).unsupported("is not supported");
  if (forwarded !== undefined && forwarded !== "append")
    at.field("forwarded").invalid(`must be append: got ${JSON.stringify(forwarded)}`);
  const names = Array.isArray(hosts) ? hosts.filter((name) => typeof name === "string") : undefined;
  if (hosts !== undefined && (!Array.isArray(hosts) || names?.length !== hosts.length))
    at.field("hosts").invalid(`must be a list of names: got ${JSON.stringify(hosts)}`);
  return { ...(forwarded === "append" ? { forwarded } : {}), ...given("hosts", names) };
}

/** At most one limit of connections, then the filter that ends the chain. */
function filtersFromWire(
  filters: readonly Filter[],
  scope: Scope,
  settings: HttpSettings,
): { readonly network: NetworkFilter; readonly connectionLimit?: ConnectionLimit } {
  const none: NetworkFilter = {
    kind: "tcp",
    tcp: { statPrefix: "", clusters: [], idleTimeoutMs: 0, maxConnectAttempts: 1, accessLogs: [] },
  };
  if (filters.length === 0) scope.invalid("must have a network filter");
  let network: NetworkFilter | undefined;
  let connectionLimit: ConnectionLimit | undefined;
  for (const [index, filter] of filters.entries()) {
    if (filter.configType.case === "configDiscovery") continue;
    const at = scope.at(index).field("typed_config");
    const schemas = [HttpConnectionManagerSchema, TcpProxySchema, ConnectionLimitSchema];
    const wire = unpack(filter.configType.value, schemas, at, filter.name);
    if (wire === undefined) continue;
    if (network !== undefined) scope.at(index).invalid("comes after a filter that ends the chain");
    if (wire.$typeName === ConnectionLimitSchema.typeName) {
      if (connectionLimit !== undefined) scope.at(index).unsupported("a chain has one limit of connections");
      connectionLimit = connectionLimitFromWire(wire, at);
      continue;
    }
    network =
      wire.$typeName === TcpProxySchema.typeName
        ? { kind: "tcp", tcp: tcpProxyFromWire(wire, at) }
        : { kind: "http", http: { ...managerFromWire(wire, at), ...settings } };
  }
  if (network === undefined && filters.length > 0) scope.invalid("must end with http_connection_manager or tcp_proxy");
  return { network: network ?? none, ...given("connectionLimit", connectionLimit) };
}

export function listenerToWire(model: Listener): WireListener {
  if (model.isApi === true) return apiListenerToWire(model);
  return create(ListenerSchema, {
    name: model.name,
    address: addressToWire(model.address),
    additionalAddresses: (model.additionalAddresses ?? []).map((address) => ({ address: addressToWire(address) })),
    trafficDirection: DIRECTIONS[model.direction],
    ...unless("bindToPort", model.bindToPort, true),
    ...unless("useOriginalDst", model.useOriginalDst, false),
    listenerFilters: inspectorsToWire(model),
    ...durationUnless("listenerFiltersTimeout", model.inspectTimeoutMs, INSPECT_TIMEOUT_MS),
    continueOnListenerFiltersTimeout: model.continueOnInspectTimeout,
    filterChains: model.filterChains.map(chainToWire),
    ...given("defaultFilterChain", model.defaultFilterChain && chainToWire(model.defaultFilterChain)),
    ...unless("perConnectionBufferLimitBytes", model.perConnectionBufferLimitBytes, BUFFER_LIMIT_BYTES),
  });
}

/** All that gRPC reads of a listener; it takes one without `api_listener` too, and then never answers (xDS in practice, 2). */
function apiListenerToWire(model: Listener): WireListener {
  const network = model.filterChains[0]?.network;
  if (network?.kind !== "http")
    throw new EncodeError(`listener "${model.name}"`, "an API listener must have one chain with HTTP");
  const manager = pack(HttpConnectionManagerSchema, managerToWire(network.http));
  return create(ListenerSchema, { name: model.name, apiListener: { apiListener: manager } });
}

function inspectorsToWire(model: Listener): ListenerFilter[] {
  const all = [
    { isOn: model.inspectTls, name: "envoy.filters.listener.tls_inspector", schema: TlsInspectorSchema },
    { isOn: model.inspectHttp, name: "envoy.filters.listener.http_inspector", schema: HttpInspectorSchema },
  ];
  const rate =
    model.connectionRate === undefined
      ? []
      : [
          create(ListenerFilterSchema, {
            name: "envoy.filters.listener.local_ratelimit",
            configType: {
              case: "typedConfig",
              value: pack(LocalRateLimitSchema, connectionRateToWire(model.connectionRate)),
            },
          }),
        ];
  const inspectors = all
    .filter((inspector) => inspector.isOn)
    .map(({ name, schema }) =>
      create(ListenerFilterSchema, { name, configType: { case: "typedConfig", value: pack(schema, create(schema)) } }),
    );
  return [...rate, ...inspectors];
}

function chainToWire(model: FilterChain): WireChain {
  const { network } = model;
  const { forwarded, hosts }: HttpSettings = network.kind === "http" ? network.http : {};
  const filter =
    network.kind === "http"
      ? {
          name: "envoy.filters.network.http_connection_manager",
          value: pack(HttpConnectionManagerSchema, managerToWire(network.http)),
        }
      : { name: "envoy.filters.network.tcp_proxy", value: pack(TcpProxySchema, tcpProxyToWire(network.tcp)) };
  return create(FilterChainSchema, {
    name: model.name,
    ...given("filterChainMatch", matchToWire(model.match)),
    ...given("transportSocket", model.tls && downstreamTlsToWire(model.tls)),
    ...durationUnless(
      "transportSocketConnectTimeout",
      model.handshakeTimeoutMs,
      model.tls === undefined ? 0 : HANDSHAKE_TIMEOUT_MS,
    ),
    filters: [
      ...limitToWire(model),
      create(FilterSchema, { name: filter.name, configType: { case: "typedConfig", value: filter.value } }),
    ],
    ...given(
      "metadata",
      metadataToWire({ [HTTP_KEY]: { ...given("forwarded", forwarded), ...given("hosts", hosts) } }),
    ),
  });
}

function limitToWire({ connectionLimit }: FilterChain): Filter[] {
  if (connectionLimit === undefined) return [];
  const value = pack(ConnectionLimitSchema, connectionLimitToWire(connectionLimit));
  return [
    create(FilterSchema, {
      name: "envoy.filters.network.connection_limit",
      configType: { case: "typedConfig", value },
    }),
  ];
}

/** Nothing for a chain that takes every connection. */
function matchToWire(model: FilterChainMatch): WireMatch | undefined {
  const wire = create(FilterChainMatchSchema, {
    ...given("destinationPort", model.destinationPort),
    prefixRanges: model.prefixRanges.map(cidrToWire),
    serverNames: [...model.serverNames],
    transportProtocol: model.transportProtocol ?? "",
    applicationProtocols: [...model.applicationProtocols],
    sourcePrefixRanges: model.sourcePrefixRanges.map(cidrToWire),
    sourcePorts: [...model.sourcePorts],
  });
  const lists = [
    model.prefixRanges,
    model.serverNames,
    model.applicationProtocols,
    model.sourcePrefixRanges,
    model.sourcePorts,
  ];
  const isEmpty =
    model.destinationPort === undefined &&
    model.transportProtocol === undefined &&
    lists.every((list) => list.length === 0);
  return isEmpty ? undefined : wire;
}
