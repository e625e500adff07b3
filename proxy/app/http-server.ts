// Puts the right codec on an accepted connection, with the limits of its listener.
import { formatAddress } from "#config/model/address.ts";
import type { HttpConnectionManager, Listener } from "#config/model/listener.ts";
import type { LocalReply } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import { HTTP1_SERVER_DEFAULTS, type Http1ServerOptions } from "#proxy/http1/server-options.ts";
import { Http1Server } from "#proxy/http1/server.ts";
import { Http2Server } from "#proxy/http2/server.ts";
import { DEFAULT_HTTP2_SETTINGS, type Http2Settings } from "#proxy/http2/settings.ts";
import type { HttpService } from "#proxy/stream/http-service.ts";
import { CodecWire, type OnCodecClosed } from "#proxy/wire/codec-wire.ts";
import type { Wire } from "#proxy/wire/wire.ts";

import { ConnectionLimits, type LimitedCodec } from "./connection-limits.ts";
import { DownstreamView, HttpConnection } from "./http-connection.ts";

const MAX_ANNOUNCED_MS = 600_000;

/** One HTTP connection as the data plane keeps it. */
export interface DownstreamConnection {
  readonly codec: LimitedCodec;
  /** Ends it without failing a request. */
  drain(): void;
}

export interface HttpServerParts {
  /** The service in force. */
  readonly service: () => HttpService;
  readonly clock: Clock;
  readonly overload: () => LocalReply | undefined;
  /** Told once, when the connection is gone. */
  readonly onClosed: () => void;
}

export function bindHttpConnection(
  wire: Wire,
  protocol: "http1" | "http2",
  firstBytes: Buffer,
  parts: HttpServerParts,
): DownstreamConnection {
  const { service, clock } = parts;
  const { config, listener } = service();
  const limits = new ConnectionLimits(clock, config);
  const onClosed = (): void => {
    limits.stop();
    parts.onClosed();
  };
  const host = new LimitedWire(wire, onClosed, config.delayedCloseTimeoutMs, limits);
  const view = new DownstreamView(wire, protocol, listener, limits);
  const connection = new HttpConnection(view, service, limits, parts.overload);
  const codec =
    protocol === "http2"
      ? new Http2Server(host, connection, http2Settings(config), clock, drainOptions(config))
      : new Http1Server(host, connection, http1Options(config, listener, wire));
  limits.watch(codec);
  host.bind(codec, firstBytes);
  if (firstBytes.length > 0) limits.received();
  return { codec, drain: () => limits.drain() };
}

/** Tells the limits when bytes have been read. */
class LimitedWire extends CodecWire {
  readonly #limits: ConnectionLimits;

  constructor(wire: Wire, onClosed: OnCodecClosed, lingerMs: number, limits: ConnectionLimits) {
    super(wire, onClosed, lingerMs);
    this.#limits = limits;
  }

  override onBytes(bytes: Buffer, start: number, end: number): void {
    super.onBytes(bytes, start, end);
    this.#limits.received();
  }
}

function drainOptions({ drainTimeoutMs }: HttpConnectionManager): { readonly drainPingMs: number } | undefined {
  return drainTimeoutMs > 0 ? { drainPingMs: drainTimeoutMs } : undefined;
}

function http1Options(config: HttpConnectionManager, listener: Listener, wire: Wire): Http1ServerOptions {
  const { http1 } = config;
  const { localAddress: address, localPort: port } = wire.info;
  return {
    ...HTTP1_SERVER_DEFAULTS,
    scheme: wire.info.tls === undefined ? "http" : "https",
    maxHeadBytes: config.maxRequestHeadersBytes,
    maxHeadCount: config.maxRequestHeadersCount,
    preserveCase: http1.preserveHeaderCase,
    acceptHttp10: http1.acceptHttp10,
    // RFC 9112 §3.3: a request that names no host is for the address that it came to. HTTP/2 has no requests without one.
    defaultHost: http1.defaultHostForHttp10 === "" ? formatAddress({ address, port }) : http1.defaultHostForHttp10,
    enableTrailers: http1.enableTrailers,
    allowAbsoluteUrl: http1.allowAbsoluteUrl,
    allowChunkedLength: http1.allowChunkedLength,
    bufferLimitBytes: Math.min(HTTP1_SERVER_DEFAULTS.bufferLimitBytes, listener.perConnectionBufferLimitBytes),
    maxRequests: config.maxRequestsPerConnection,
    keepAlive: keepAliveOf(config.idleTimeoutMs),
  };
}

/** Long times are nobody's concern, and cost bytes in each answer. */
function keepAliveOf(idleTimeoutMs: number): string {
  const seconds = Math.floor(idleTimeoutMs / 1000);
  return seconds >= 1 && idleTimeoutMs <= MAX_ANNOUNCED_MS ? `timeout=${seconds}` : "";
}

const settingsOf = new WeakMap<HttpConnectionManager, Http2Settings>();

/** The same for all connections under one configuration. */
function http2Settings(config: HttpConnectionManager): Http2Settings {
  let settings = settingsOf.get(config);
  if (settings === undefined) settingsOf.set(config, (settings = makeHttp2Settings(config)));
  return settings;
}

function makeHttp2Settings(config: HttpConnectionManager): Http2Settings {
  return {
    ...DEFAULT_HTTP2_SETTINGS,
    ...config.http2,
    maxHeadersBytes: config.maxRequestHeadersBytes,
    maxHeadersCount: config.maxRequestHeadersCount,
    streamFlushTimeoutMs: config.streamFlushTimeoutMs,
  };
}
