// Protocol options that listeners and clusters share: HTTP/1 and HTTP/2, message <-> model.
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Http1Options, Http2Options } from "../model/listener.ts";
import { pack, unpack } from "./any.ts";
import { fromMs, toMs, toMsOr } from "./duration.ts";
import { unless } from "./fields.ts";
import {
  Http1ProtocolOptionsSchema,
  type Http1ProtocolOptions,
  type Http1ProtocolOptions_HeaderKeyFormat,
  type Http2ProtocolOptions,
  type Http2ProtocolOptionsSchema,
} from "./gen/envoy/config/core/v3/protocol_pb.ts";
import { PreserveCaseFormatterConfigSchema } from "./gen/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.ts";
import type { Scope } from "./issues.ts";

/** Envoy 1.40's (expectations.md); our windows are hers, but what was announced is what is kept to. */
export const HTTP2_DEFAULTS: Http2Options = {
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 16 * 1024 * 1024,
  initialConnectionWindowBytes: 24 * 1024 * 1024,
  hpackTableSizeBytes: 4096,
  maxOutboundFrames: 10_000,
  maxOutboundControlFrames: 1000,
  maxConsecutiveInboundEmptyDataFrames: 1,
  maxInboundPriorityFramesPerStream: 100,
  maxInboundWindowUpdateFramesPerDataFrame: 10,
  keepaliveIntervalMs: 0,
  keepaliveTimeoutMs: 0,
  allowConnect: false,
};

export const HTTP1_DEFAULTS: Http1Options = {
  acceptHttp10: false,
  defaultHostForHttp10: "",
  enableTrailers: false,
  preserveHeaderCase: true,
  allowAbsoluteUrl: true,
  allowChunkedLength: false,
};

export function http2FromWire(wire: Http2ProtocolOptions | undefined, scope: Scope): Http2Options {
  const defaults = HTTP2_DEFAULTS;
  const keepalive = wire?.connectionKeepalive;
  const at = scope.field("connection_keepalive");
  if (keepalive !== undefined && keepalive.interval === undefined) at.field("interval").unsupported("must be set");
  if (keepalive !== undefined && keepalive.timeout === undefined) at.field("timeout").invalid("must be set");
  return {
    maxConcurrentStreams: wire?.maxConcurrentStreams ?? defaults.maxConcurrentStreams,
    initialStreamWindowBytes: wire?.initialStreamWindowSize ?? defaults.initialStreamWindowBytes,
    initialConnectionWindowBytes: wire?.initialConnectionWindowSize ?? defaults.initialConnectionWindowBytes,
    hpackTableSizeBytes: wire?.hpackTableSize ?? defaults.hpackTableSizeBytes,
    maxOutboundFrames: wire?.maxOutboundFrames ?? defaults.maxOutboundFrames,
    maxOutboundControlFrames: wire?.maxOutboundControlFrames ?? defaults.maxOutboundControlFrames,
    maxConsecutiveInboundEmptyDataFrames:
      wire?.maxConsecutiveInboundFramesWithEmptyPayload ?? defaults.maxConsecutiveInboundEmptyDataFrames,
    maxInboundPriorityFramesPerStream:
      wire?.maxInboundPriorityFramesPerStream ?? defaults.maxInboundPriorityFramesPerStream,
    maxInboundWindowUpdateFramesPerDataFrame:
      wire?.maxInboundWindowUpdateFramesPerDataFrameSent ?? defaults.maxInboundWindowUpdateFramesPerDataFrame,
    keepaliveIntervalMs: toMsOr(keepalive?.interval, 0),
    keepaliveTimeoutMs: keepalive?.timeout === undefined ? 0 : toMs(keepalive.timeout),
    allowConnect: wire?.allowConnect ?? false,
  };
}

export function http2ToWire(model: Http2Options): MessageInitShape<typeof Http2ProtocolOptionsSchema> {
  const defaults = HTTP2_DEFAULTS;
  const hasKeepalive = model.keepaliveIntervalMs > 0 || model.keepaliveTimeoutMs > 0;
  return {
    ...unless("maxConcurrentStreams", model.maxConcurrentStreams, defaults.maxConcurrentStreams),
    ...unless("initialStreamWindowSize", model.initialStreamWindowBytes, defaults.initialStreamWindowBytes),
    ...unless("initialConnectionWindowSize", model.initialConnectionWindowBytes, defaults.initialConnectionWindowBytes),
    ...unless("hpackTableSize", model.hpackTableSizeBytes, defaults.hpackTableSizeBytes),
    ...unless("maxOutboundFrames", model.maxOutboundFrames, defaults.maxOutboundFrames),
    ...unless("maxOutboundControlFrames", model.maxOutboundControlFrames, defaults.maxOutboundControlFrames),
    ...unless(
      "maxConsecutiveInboundFramesWithEmptyPayload",
      model.maxConsecutiveInboundEmptyDataFrames,
      defaults.maxConsecutiveInboundEmptyDataFrames,
    ),
    ...unless(
      "maxInboundPriorityFramesPerStream",
      model.maxInboundPriorityFramesPerStream,
      defaults.maxInboundPriorityFramesPerStream,
    ),
    ...unless(
      "maxInboundWindowUpdateFramesPerDataFrameSent",
      model.maxInboundWindowUpdateFramesPerDataFrame,
      defaults.maxInboundWindowUpdateFramesPerDataFrame,
    ),
    ...(hasKeepalive
      ? {
          connectionKeepalive: {
            interval: fromMs(model.keepaliveIntervalMs),
            timeout: fromMs(model.keepaliveTimeoutMs),
          },
        }
      : {}),
    allowConnect: model.allowConnect,
  };
}

export function http1FromWire(wire: Http1ProtocolOptions | undefined, scope: Scope): Http1Options {
  return {
    acceptHttp10: wire?.acceptHttp10 ?? HTTP1_DEFAULTS.acceptHttp10,
    defaultHostForHttp10: wire?.defaultHostForHttp10 ?? HTTP1_DEFAULTS.defaultHostForHttp10,
    enableTrailers: wire?.enableTrailers ?? HTTP1_DEFAULTS.enableTrailers,
    preserveHeaderCase: preservesCase(wire?.headerKeyFormat, scope.field("header_key_format")),
    allowAbsoluteUrl: wire?.allowAbsoluteUrl ?? HTTP1_DEFAULTS.allowAbsoluteUrl,
    allowChunkedLength: wire?.allowChunkedLength ?? HTTP1_DEFAULTS.allowChunkedLength,
  };
}

/**
 * Heddle keeps the case of header names without being asked (lost case is what users of other meshes suffer from), so Envoy's
 * only way of asking for it changes nothing, and lower case cannot be asked for on the wire.
 */
function preservesCase(wire: Http1ProtocolOptions_HeaderKeyFormat | undefined, scope: Scope): boolean {
  const format = wire?.headerFormat;
  if (format?.case !== "statefulFormatter") return true;
  const at = scope.field("stateful_formatter").field("typed_config");
  unpack(format.value.typedConfig, [PreserveCaseFormatterConfigSchema], at, format.value.name);
  return true;
}

/** The formatter that lets an Envoy keep the case of names, as Heddle does. */
export function preserveCase(): MessageInitShape<typeof Http1ProtocolOptionsSchema>["headerKeyFormat"] {
  const typedConfig = pack(PreserveCaseFormatterConfigSchema, createPreserveCase());
  const value = { name: "envoy.http.stateful_header_formatters.preserve_case", typedConfig };
  return { headerFormat: { case: "statefulFormatter", value } };
}

function createPreserveCase(): ReturnType<typeof create<typeof PreserveCaseFormatterConfigSchema>> {
  return create(PreserveCaseFormatterConfigSchema);
}

export function http1ToWire(model: Http1Options): Http1ProtocolOptions {
  return create(Http1ProtocolOptionsSchema, {
    acceptHttp10: model.acceptHttp10,
    defaultHostForHttp10: model.defaultHostForHttp10,
    enableTrailers: model.enableTrailers,
    ...(model.preserveHeaderCase ? { headerKeyFormat: preserveCase() } : {}),
    ...unless("allowAbsoluteUrl", model.allowAbsoluteUrl, HTTP1_DEFAULTS.allowAbsoluteUrl),
    allowChunkedLength: model.allowChunkedLength,
  });
}
