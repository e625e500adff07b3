// HttpConnectionManager: how a listener treats HTTP, message <-> model.
import { create } from "@bufbuild/protobuf";
import type { HttpConnectionManager, RouteSource } from "../model/listener.ts";
import { accessLogToWire, accessLogsFromWire } from "./access-log.ts";
import { cidrFromWire, cidrToWire } from "./address.ts";
import { adsSource, checkAdsSource } from "./config-source.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, given, unless } from "./fields.ts";
import {
  HttpConnectionManagerSchema,
  HttpConnectionManager_CodecType as Codec,
  HttpConnectionManager_ForwardClientCertDetails as ClientCert,
  HttpConnectionManager_ServerHeaderTransformation as ServerHeader,
  type HttpConnectionManager as WireManager,
} from "./gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts";
import { httpFiltersFromWire, httpFiltersToWire, suppressesEnvoyHeaders } from "./http-filter.ts";
import { http1FromWire, http1ToWire, http2FromWire, http2ToWire } from "./http-options.ts";
import type { Scope } from "./issues.ts";
import { routeTableFromWire, routeTableToWire } from "./route.ts";
import { tracingFromWire, tracingToWire } from "./tracing.ts";

/** Envoy's (expectations.md), in ms; the `server` header alone names us. */
const DEFAULTS = {
  idleTimeoutMs: 3_600_000,
  streamIdleTimeoutMs: 300_000,
  drainTimeoutMs: 5000,
  delayedCloseTimeoutMs: 1000,
  maxHeadersKb: 60,
  maxHeadersCount: 100,
  serverName: "heddle",
};

const CODECS = { auto: Codec.AUTO, http1: Codec.HTTP1, http2: Codec.HTTP2 } as const;
const SERVER_HEADERS = {
  overwrite: ServerHeader.OVERWRITE,
  append_if_absent: ServerHeader.APPEND_IF_ABSENT,
  pass_through: ServerHeader.PASS_THROUGH,
} as const;
const CLIENT_CERTS = {
  sanitize: ClientCert.SANITIZE,
  forward_only: ClientCert.FORWARD_ONLY,
  append_forward: ClientCert.APPEND_FORWARD,
  sanitize_set: ClientCert.SANITIZE_SET,
  always_forward_only: ClientCert.ALWAYS_FORWARD_ONLY,
} as const;

/** The model's word for a number on the wire. */
function wordFor<W extends string>(words: { readonly [word in W]: number }, code: number): W | undefined {
  return Object.entries<number>(words).find(([, value]) => value === code)?.[0] as W | undefined;
}

export function managerFromWire(wire: WireManager, scope: Scope): HttpConnectionManager {
  const codec = wordFor(CODECS, wire.codecType);
  if (codec === undefined) scope.field("codec_type").unsupported("only AUTO, HTTP1 and HTTP2 are supported");
  const common = wire.commonHttpProtocolOptions;
  const commonAt = scope.field("common_http_protocol_options");
  if (common?.maxResponseHeadersKb !== undefined)
    commonAt.field("max_response_headers_kb").unsupported("is not supported on a listener");
  const details = wire.setCurrentClientCertDetails;
  return {
    statPrefix: wire.statPrefix,
    codec: codec ?? "auto",
    routes: routesFromWire(wire, scope),
    filters: httpFiltersFromWire(wire.httpFilters, scope.field("http_filters")),
    accessLogs: accessLogsFromWire(wire.accessLog, scope.field("access_log")),
    tracing: tracingFromWire(wire.tracing, scope.field("tracing")),
    useRemoteAddress: wire.useRemoteAddress ?? false,
    xffTrustedHops: wire.xffNumTrustedHops,
    internalAddresses: (wire.internalAddressConfig?.cidrRanges ?? []).map((range, index) =>
      cidrFromWire(range, scope.field("internal_address_config").field("cidr_ranges").at(index)),
    ),
    suppressEnvoyHeaders: suppressesEnvoyHeaders(wire.httpFilters),
    generateRequestId: wire.generateRequestId ?? true,
    preserveExternalRequestId: wire.preserveExternalRequestId,
    serverName: wire.serverName === "" ? DEFAULTS.serverName : wire.serverName,
    serverHeader: wordFor(SERVER_HEADERS, wire.serverHeaderTransformation) ?? "overwrite",
    via: wire.via,
    forwardClientCert: wordFor(CLIENT_CERTS, wire.forwardClientCertDetails) ?? "sanitize",
    clientCertDetails: {
      subject: details?.subject ?? false,
      uri: details?.uri ?? false,
      dns: details?.dns ?? false,
      cert: details?.cert ?? false,
    },
    idleTimeoutMs: toMsOr(common?.idleTimeout, DEFAULTS.idleTimeoutMs),
    streamIdleTimeoutMs: toMsOr(wire.streamIdleTimeout, DEFAULTS.streamIdleTimeoutMs),
    streamFlushTimeoutMs: toMsOr(wire.streamFlushTimeout, toMsOr(wire.streamIdleTimeout, DEFAULTS.streamIdleTimeoutMs)),
    requestTimeoutMs: toMsOr(wire.requestTimeout, 0),
    maxStreamMs: toMsOr(common?.maxStreamDuration, 0),
    requestHeadersTimeoutMs: toMsOr(wire.requestHeadersTimeout, 0),
    drainTimeoutMs: toMsOr(wire.drainTimeout, DEFAULTS.drainTimeoutMs),
    delayedCloseTimeoutMs: toMsOr(wire.delayedCloseTimeout, DEFAULTS.delayedCloseTimeoutMs),
    maxConnectionDurationMs: toMsOr(common?.maxConnectionDuration, 0),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    maxRequestHeadersBytes: (wire.maxRequestHeadersKb ?? DEFAULTS.maxHeadersKb) * 1024,
    maxRequestHeadersCount: common?.maxHeadersCount ?? DEFAULTS.maxHeadersCount,
    http1: http1FromWire(wire.httpProtocolOptions, scope.field("http_protocol_options")),
    http2: http2FromWire(wire.http2ProtocolOptions, scope.field("http2_protocol_options")),
    upgrades: wire.upgradeConfigs.filter((upgrade) => upgrade.enabled ?? true).map((upgrade) => upgrade.upgradeType),
    normalizePath: wire.normalizePath ?? false,
    mergeSlashes: wire.mergeSlashes,
    stripMatchingHostPort: wire.stripPortMode.case === undefined && wire.stripMatchingHostPort,
  };
}

function routesFromWire(wire: WireManager, scope: Scope): RouteSource {
  const routes = wire.routeSpecifier;
  if (routes.case === "rds") {
    checkAdsSource(routes.value.configSource, scope.field("rds").field("config_source"));
    if (routes.value.routeConfigName === "") scope.field("rds").field("route_config_name").invalid("must not be empty");
    return { kind: "rds", name: routes.value.routeConfigName };
  }
  if (routes.case === "routeConfig") {
    return { kind: "inline", table: routeTableFromWire(routes.value, scope.field("route_config")) };
  }
  // Scoped routes, or nothing: reported already.
  return { kind: "rds", name: "" };
}

export function managerToWire(model: HttpConnectionManager): WireManager {
  const { routes, clientCertDetails } = model;
  const common = {
    ...durationUnless("idleTimeout", model.idleTimeoutMs, DEFAULTS.idleTimeoutMs),
    ...durationUnless("maxConnectionDuration", model.maxConnectionDurationMs, 0),
    ...durationUnless("maxStreamDuration", model.maxStreamMs, 0),
    ...unless("maxRequestsPerConnection", model.maxRequestsPerConnection, 0),
    ...unless("maxHeadersCount", model.maxRequestHeadersCount, DEFAULTS.maxHeadersCount),
  };
  return create(HttpConnectionManagerSchema, {
    statPrefix: model.statPrefix,
    codecType: CODECS[model.codec],
    routeSpecifier:
      routes.kind === "rds"
        ? { case: "rds", value: { configSource: adsSource(), routeConfigName: routes.name } }
        : { case: "routeConfig", value: routeTableToWire(routes.table) },
    httpFilters: httpFiltersToWire(model.filters, model.suppressEnvoyHeaders),
    accessLog: model.accessLogs.map(accessLogToWire),
    ...given("tracing", model.tracing && tracingToWire(model.tracing)),
    ...unless("useRemoteAddress", model.useRemoteAddress, false),
    xffNumTrustedHops: model.xffTrustedHops,
    ...(model.internalAddresses.length > 0
      ? { internalAddressConfig: { cidrRanges: model.internalAddresses.map(cidrToWire) } }
      : {}),
    ...unless("generateRequestId", model.generateRequestId, true),
    preserveExternalRequestId: model.preserveExternalRequestId,
    serverName: model.serverName,
    serverHeaderTransformation: SERVER_HEADERS[model.serverHeader],
    via: model.via,
    forwardClientCertDetails: CLIENT_CERTS[model.forwardClientCert],
    ...(Object.values(clientCertDetails).includes(true) ? { setCurrentClientCertDetails: clientCertDetails } : {}),
    ...(Object.keys(common).length > 0 ? { commonHttpProtocolOptions: common } : {}),
    ...durationUnless("streamIdleTimeout", model.streamIdleTimeoutMs, DEFAULTS.streamIdleTimeoutMs),
    ...durationUnless("requestTimeout", model.requestTimeoutMs, 0),
    ...durationUnless("streamFlushTimeout", model.streamFlushTimeoutMs, model.streamIdleTimeoutMs),
    ...durationUnless("requestHeadersTimeout", model.requestHeadersTimeoutMs, 0),
    ...durationUnless("drainTimeout", model.drainTimeoutMs, DEFAULTS.drainTimeoutMs),
    ...durationUnless("delayedCloseTimeout", model.delayedCloseTimeoutMs, DEFAULTS.delayedCloseTimeoutMs),
    ...unless("maxRequestHeadersKb", Math.ceil(model.maxRequestHeadersBytes / 1024), DEFAULTS.maxHeadersKb),
    httpProtocolOptions: http1ToWire(model.http1),
    http2ProtocolOptions: http2ToWire(model.http2),
    upgradeConfigs: model.upgrades.map((upgradeType) => ({ upgradeType })),
    ...unless("normalizePath", model.normalizePath, false),
    mergeSlashes: model.mergeSlashes,
    stripMatchingHostPort: model.stripMatchingHostPort,
  });
}
