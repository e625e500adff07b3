// HttpProtocolOptions of a cluster: which HTTP its endpoints speak, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { HttpUpstreamOptions } from "../model/cluster.ts";
import { pack, unpack } from "./any.ts";
import { toMsOr } from "./duration.ts";
import { durationUnless, unless } from "./fields.ts";
import type { Http1ProtocolOptions, Http2ProtocolOptions } from "./gen/envoy/config/core/v3/protocol_pb.ts";
import {
  HttpProtocolOptionsSchema,
  type HttpProtocolOptions,
} from "./gen/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.ts";
import {
  HTTP1_DEFAULTS,
  HTTP2_DEFAULTS,
  http1FromWire,
  http2FromWire,
  http2ToWire,
  preserveCase,
} from "./http-options.ts";
import type { Scope } from "./issues.ts";

/** The key in `typed_extension_protocol_options`. */
export const HTTP_OPTIONS_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** Envoy's (expectations.md). */
export const UPSTREAM_HTTP_DEFAULTS: HttpUpstreamOptions = {
  protocol: "http1",
  http2: HTTP2_DEFAULTS,
  idleTimeoutMs: 3_600_000,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
  maxResponseHeadersBytes: 60 * 1024,
  maxResponseHeadersCount: 100,
  preserveHeaderCase: true,
};

interface Versions {
  readonly protocol: HttpUpstreamOptions["protocol"];
  readonly http1: Http1ProtocolOptions | undefined;
  readonly http2: Http2ProtocolOptions | undefined;
  readonly scope: Scope;
}

export function upstreamHttpFromWire(options: { readonly [key: string]: Any }, scope: Scope): HttpUpstreamOptions {
  for (const key of Object.keys(options)) {
    if (key !== HTTP_OPTIONS_KEY) scope.key(key).unsupported("is not supported");
  }
  const any = options[HTTP_OPTIONS_KEY];
  const at = scope.key(HTTP_OPTIONS_KEY);
  const wire = any && unpack(any, [HttpProtocolOptionsSchema], at, HTTP_OPTIONS_KEY);
  if (wire === undefined) return UPSTREAM_HTTP_DEFAULTS;
  const versions = versionsFromWire(wire, at);
  const common = wire.commonHttpProtocolOptions;
  const http1Scope = versions.scope.field("http_protocol_options");
  const http1 = http1FromWire(versions.http1, http1Scope);
  // The rest of HTTP/1's options is about being a server.
  for (const [name, field] of [
    ["acceptHttp10", "accept_http_10"],
    ["defaultHostForHttp10", "default_host_for_http_10"],
  ] as const) {
    if (http1[name] !== HTTP1_DEFAULTS[name]) http1Scope.field(field).unsupported("is not supported on a cluster");
  }
  return {
    protocol: versions.protocol,
    http2: http2FromWire(versions.http2, versions.scope.field("http2_protocol_options")),
    idleTimeoutMs: toMsOr(common?.idleTimeout, UPSTREAM_HTTP_DEFAULTS.idleTimeoutMs),
    maxConnectionDurationMs: toMsOr(common?.maxConnectionDuration, 0),
    maxRequestsPerConnection: common?.maxRequestsPerConnection ?? 0,
    maxResponseHeadersBytes:
      common?.maxResponseHeadersKb === undefined
        ? UPSTREAM_HTTP_DEFAULTS.maxResponseHeadersBytes
        : common.maxResponseHeadersKb * 1024,
    maxResponseHeadersCount: common?.maxHeadersCount ?? UPSTREAM_HTTP_DEFAULTS.maxResponseHeadersCount,
    preserveHeaderCase: http1.preserveHeaderCase,
  };
}

function versionsFromWire(wire: HttpProtocolOptions, scope: Scope): Versions {
  const choice = wire.upstreamProtocolOptions;
  switch (choice.case) {
    case "explicitHttpConfig": {
      const { protocolConfig } = choice.value;
      const at = scope.field("explicit_http_config");
      if (protocolConfig.case === "http2ProtocolOptions")
        return { protocol: "http2", http1: undefined, http2: protocolConfig.value, scope: at };
      const http1 = protocolConfig.case === "httpProtocolOptions" ? protocolConfig.value : undefined;
      return { protocol: "http1", http1, http2: undefined, scope: at };
    }
    case "useDownstreamProtocolConfig": {
      const { httpProtocolOptions: http1, http2ProtocolOptions: http2 } = choice.value;
      return { protocol: "downstream", http1, http2, scope: scope.field("use_downstream_protocol_config") };
    }
    case "autoConfig": {
      const { httpProtocolOptions: http1, http2ProtocolOptions: http2 } = choice.value;
      return { protocol: "auto", http1, http2, scope: scope.field("auto_config") };
    }
    case undefined:
      return { protocol: "http1", http1: undefined, http2: undefined, scope };
  }
}

/** Always said: an Envoy that shares the cluster must keep the case of names as we do. */
export function upstreamHttpToWire(model: HttpUpstreamOptions): { [key: string]: Any } {
  const defaults = UPSTREAM_HTTP_DEFAULTS;
  const common = {
    ...durationUnless("idleTimeout", model.idleTimeoutMs, defaults.idleTimeoutMs),
    ...durationUnless("maxConnectionDuration", model.maxConnectionDurationMs, 0),
    ...unless("maxRequestsPerConnection", model.maxRequestsPerConnection, 0),
    ...unless(
      "maxResponseHeadersKb",
      Math.ceil(model.maxResponseHeadersBytes / 1024),
      defaults.maxResponseHeadersBytes / 1024,
    ),
    ...unless("maxHeadersCount", model.maxResponseHeadersCount, defaults.maxResponseHeadersCount),
  };
  const options = create(HttpProtocolOptionsSchema, {
    ...(Object.keys(common).length === 0 ? {} : { commonHttpProtocolOptions: common }),
    upstreamProtocolOptions: versionsToWire(model),
  });
  return { [HTTP_OPTIONS_KEY]: pack(HttpProtocolOptionsSchema, options) };
}

type VersionsInit = NonNullable<MessageInitShape<typeof HttpProtocolOptionsSchema>["upstreamProtocolOptions"]>;

function versionsToWire(model: HttpUpstreamOptions): VersionsInit {
  const httpProtocolOptions = model.preserveHeaderCase ? { headerKeyFormat: preserveCase() } : {};
  const http2ProtocolOptions = http2ToWire(model.http2);
  switch (model.protocol) {
    case "http1":
      return {
        case: "explicitHttpConfig",
        value: { protocolConfig: { case: "httpProtocolOptions", value: httpProtocolOptions } },
      };
    case "http2":
      return {
        case: "explicitHttpConfig",
        value: { protocolConfig: { case: "http2ProtocolOptions", value: http2ProtocolOptions } },
      };
    case "downstream":
      return { case: "useDownstreamProtocolConfig", value: { httpProtocolOptions, http2ProtocolOptions } };
    case "auto":
      return { case: "autoConfig", value: { httpProtocolOptions, http2ProtocolOptions } };
  }
}
