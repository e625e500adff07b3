// What we allow a peer and tell it (SETTINGS, RFC 9113 §6.5), and what the peer told us.
import { H2_ERROR } from "#lib/http/stream-error.ts";
import { DEFAULT_WINDOW_BYTES, MAX_WINDOW_BYTES, readUint32 } from "./frame.ts";

export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  ENABLE_CONNECT_PROTOCOL: 8,
} as const;

/** Our side of a connection. Names, units and defaults are Envoy's `Http2ProtocolOptions`; durations in ms, 0 = off. */
export interface Http2Settings {
  readonly maxConcurrentStreams: number;
  readonly initialStreamWindowBytes: number;
  readonly initialConnectionWindowBytes: number;
  /** The size of each HPACK table, ours and the one we keep for the peer at most. */
  readonly hpackTableSizeBytes: number;
  /** Frames that may wait for the socket before the connection is given up. */
  readonly maxOutboundFrames: number;
  /** Of these PING and SETTINGS acknowledgements and RST_STREAM: a peer that makes us write without reading. */
  readonly maxOutboundControlFrames: number;
  /** Empty HEADERS, CONTINUATION and DATA frames in a row that end nothing. */
  readonly maxConsecutiveInboundEmptyDataFrames: number;
  readonly maxInboundPriorityFramesPerStream: number;
  readonly maxInboundWindowUpdateFramesPerDataFrame: number;
  /** PING when nothing was received for so long. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Extended CONNECT (RFC 8441) for the server side. */
  readonly allowConnect: boolean;
  /** A header list's limits: names and values with 32 octets each (RFC 9113 §6.5.2), and fields. */
  readonly maxHeadersBytes: number;
  readonly maxHeadersCount: number;
  /** Bytes that one stream may have waiting for its window before `sendData` says stop. */
  readonly streamBufferBytes: number;
  /** How long a peer may leave our SETTINGS unacknowledged. */
  readonly settingsTimeoutMs: number;
  /** How long a complete message may wait for the peer's window without any of it being sent. */
  readonly streamFlushTimeoutMs: number;
  /** Streams reset early (within a second, before an answer) that are always tolerated; past them, half of all streams. */
  readonly maxPrematureResets: number;
  /** Frames that carry nothing, beside what the connection's streams explain (`FloodGuard.countIdle`). */
  readonly maxIdleFramesPerSecond: number;
}

/** Envoy's defaults (16 MiB and 24 MiB windows, 1024 streams, 60 KiB and 100 fields of headers). */
export const DEFAULT_HTTP2_SETTINGS: Http2Settings = {
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
  keepaliveTimeoutMs: 10_000,
  allowConnect: true,
  maxHeadersBytes: 60 * 1024,
  maxHeadersCount: 100,
  streamBufferBytes: 64 * 1024,
  settingsTimeoutMs: 10_000,
  streamFlushTimeoutMs: 300_000,
  maxPrematureResets: 500,
  maxIdleFramesPerSecond: 1000,
};

/** What the peer told us; before it did, the protocol's defaults. */
export class PeerSettings {
  headerTableBytes = 4096;
  /** The smallest that it named in the last SETTINGS, which our encoder must go through (RFC 7541 §4.2). */
  smallestHeaderTableBytes = 4096;
  /** Unlimited by the protocol; a hundred until the peer has spoken, as RFC 9113 §6.5.2 recommends to servers at least. */
  maxConcurrentStreams = 100;
  initialWindowBytes = DEFAULT_WINDOW_BYTES;
  /** Names, values and 32 octets each, of one header list (RFC 9113 §6.5.2); Infinity = it said nothing. */
  maxHeaderListBytes = Infinity;
  allowsConnectProtocol = false;
  isKnown = false;

  /** Takes a SETTINGS payload; gives the error code of the connection, or -1. */
  apply(bytes: Uint8Array, start: number, end: number): number {
    if (!this.isKnown) this.maxConcurrentStreams = MAX_WINDOW_BYTES;
    this.isKnown = true;
    this.smallestHeaderTableBytes = Infinity;
    for (let at = start; at + 6 <= end; at += 6) {
      const error = this.#set(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0), readUint32(bytes, at + 2));
      if (error >= 0) return error;
    }
    return -1;
  }

  #set(id: number, value: number): number {
    switch (id) {
      case SETTING.HEADER_TABLE_SIZE:
        this.headerTableBytes = value;
        this.smallestHeaderTableBytes = Math.min(this.smallestHeaderTableBytes, value);
        return -1;
      case SETTING.ENABLE_PUSH:
        return value > 1 ? H2_ERROR.PROTOCOL_ERROR : -1;
      case SETTING.MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = Math.min(value, MAX_WINDOW_BYTES);
        return -1;
      case SETTING.INITIAL_WINDOW_SIZE:
        if (value > MAX_WINDOW_BYTES) return H2_ERROR.FLOW_CONTROL_ERROR;
        this.initialWindowBytes = value;
        return -1;
      case SETTING.MAX_FRAME_SIZE:
        return value < 16384 || value > 16777215 ? H2_ERROR.PROTOCOL_ERROR : -1;
      case SETTING.MAX_HEADER_LIST_SIZE:
        this.maxHeaderListBytes = value;
        return -1;
      case SETTING.ENABLE_CONNECT_PROTOCOL:
        // RFC 8441 §3: never taken back.
        if (value > 1 || (value === 0 && this.allowsConnectProtocol)) return H2_ERROR.PROTOCOL_ERROR;
        this.allowsConnectProtocol = value === 1;
        return -1;
      default:
        return -1;
    }
  }
}
