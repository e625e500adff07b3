// What is known of an opaque connection when it is over: for access logs, metrics and `heddle explain`.
import { formatAddress } from "#config/model/address.ts";
import type { ResponseFlag } from "#filters/filter.ts";
import type { ExplainRecord } from "#proxy/telemetry/records.ts";

export interface TcpRecord {
  /** By which a log line leads to its explain record. */
  readonly id: string;
  /** Unix ms. */
  readonly startWallMs: number;
  readonly durationMs: number;
  readonly listener: string;
  readonly direction: string;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly cluster: string;
  /** `address:port` of the endpoint last tried. */
  readonly upstreamHost: string | undefined;
  readonly upstreamLocalAddress: string | undefined;
  readonly upstreamPeerIdentity: string | undefined;
  readonly attempts: number;
  readonly flags: readonly ResponseFlag[];
  /** Why it did not end well. */
  readonly failure: string | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly peerIdentity: string | undefined;
  readonly localIdentity: string | undefined;
  /** "" = none. */
  readonly serverName: string;
  readonly tlsVersion: string | undefined;
  readonly configVersion: string;
}

/** The same shape as a request's record, so that `heddle explain` prints both. */
export function toExplainRecord(record: TcpRecord): ExplainRecord {
  return {
    requestId: record.id,
    time: new Date(record.startWallMs).toISOString(),
    direction: record.direction,
    listener: record.listener,
    method: "TCP",
    authority: record.cluster,
    path: "",
    status: 0,
    grpcStatus: undefined,
    flags: record.flags,
    code: "tcp_connection_failed",
    detail: record.failure,
    rule: undefined,
    route: undefined,
    cluster: record.cluster,
    attempts:
      record.upstreamHost === undefined
        ? []
        : [
            {
              endpoint: record.upstreamHost,
              startMs: 0,
              durationMs: record.durationMs,
              outcome: record.failure ?? "closed",
            },
          ],
    durationMs: record.durationMs,
    configVersion: record.configVersion,
    traceId: "",
    peerIdentity: record.peerIdentity,
    notes: {
      remote: formatAddress({ address: record.remoteAddress, port: record.remotePort }),
      connect_attempts: record.attempts,
      bytes_received: record.bytesIn,
      bytes_sent: record.bytesOut,
    },
  };
}
