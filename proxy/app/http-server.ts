// Puts the right codec on an accepted connection, with the limits of its listener.
import type { HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { Clock } from "#lib/clock.ts";
import type { ServerCodec } from "#lib/http/stream.ts";
import { HTTP1_SERVER_DEFAULTS, type Http1ServerOptions } from "#proxy/http1/server-options.ts";
import { Http1Server } from "#proxy/http1/server.ts";
import { Http2Server } from "#proxy/http2/server.ts";
import { DEFAULT_HTTP2_SETTINGS, type Http2Settings } from "#proxy/http2/settings.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import { CodecWire } from "#proxy/wire/codec-wire.ts";
import type { Wire } from "#proxy/wire/wire.ts";

import { HttpConnection } from "./http-connection.ts";

/** `onClosed` is told once, when the connection is gone. */
export function bindHttpConnection(
  wire: Wire,
  protocol: "http1" | "http2",
  firstBytes: Buffer,
  service: () => HttpService,
  clock: Clock,
  onClosed: () => void,
): ServerCodec {
  const { config, listener } = service();
  const host = new CodecWire(wire, onClosed);
  const connection = new HttpConnection(wire, protocol, service);
  const codec =
    protocol === "http2"
      ? new Http2Server(host, connection, http2Settings(config), clock)
      : new Http1Server(host, connection, http1Options(config, listener, wire));
  host.bind(codec, firstBytes);
  return codec;
}

function http1Options(config: HttpConnectionManager, listener: Listener, wire: Wire): Http1ServerOptions {
  const { http1 } = config;
  return {
    ...HTTP1_SERVER_DEFAULTS,
    scheme: wire.info.tls === undefined ? "http" : "https",
    maxHeadBytes: config.maxRequestHeadersBytes,
    maxHeadCount: config.maxRequestHeadersCount,
    preserveCase: http1.preserveHeaderCase,
    acceptHttp10: http1.acceptHttp10,
    defaultHost: http1.defaultHostForHttp10,
    enableTrailers: http1.enableTrailers,
    allowAbsoluteUrl: http1.allowAbsoluteUrl,
    allowChunkedLength: http1.allowChunkedLength,
    bufferLimitBytes: Math.min(HTTP1_SERVER_DEFAULTS.bufferLimitBytes, listener.perConnectionBufferLimitBytes),
    maxRequests: config.maxRequestsPerConnection,
  };
}

function http2Settings(config: HttpConnectionManager): Http2Settings {
  return {
    ...DEFAULT_HTTP2_SETTINGS,
    ...config.http2,
    maxHeadersBytes: config.maxRequestHeadersBytes,
    maxHeadersCount: config.maxRequestHeadersCount,
  };
}
