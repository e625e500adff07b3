// What pools ask of the network: a connection with a codec on it, or a bare wire. Real ones are in wire-connector.ts.
import type { HttpUpstreamOptions } from "#config/model/cluster.ts";
import type { UpstreamTls } from "#config/model/tls.ts";
import type { AttemptFailure } from "#filters/filter.ts";
import type { ClientCodec, ClientHandler, HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";
import type { OpenTicket, UpstreamConnectionInfo } from "./contract.ts";

/** Everything that a connection depends on; another target is another pool key. */
export interface ConnectTarget {
  readonly address: string;
  readonly port: number;
  /** The endpoint's own name, for `autoHostSni`. */
  readonly hostname: string;
  /** `auto`: ALPN decides; `raw`: no HTTP, no ALPN. */
  readonly protocol: "http1" | "http2" | "auto" | "raw";
  readonly tls: UpstreamTls | undefined;
  /** The one SPIFFE id that the peer's certificate must carry; undefined = what `tls.validation` says. */
  readonly expectedIdentity: string | undefined;
  /** Where the connection comes from; undefined: any address of ours. */
  readonly sourceAddress: string | undefined;
  readonly timeoutMs: number;
  readonly http: HttpUpstreamOptions;
  readonly bufferLimitBytes: number;
}

/** Told of one HTTP connection: exactly one of `onConnected` and `onConnectFailed`, never before `connectHttp` returns. */
export interface HttpConnectionHandler extends ClientHandler {
  onConnected(connection: HttpConnection): void;
  /** `detail` names the address, the system's error or TLS's reason, with the identity seen and expected. */
  onConnectFailed(reason: AttemptFailure, detail: string): void;
  /** After `onConnected`, exactly once: both directions are gone. */
  onClosed(): void;
}

export interface HttpConnection {
  readonly codec: ClientCodec;
  readonly info: UpstreamConnectionInfo;
  /** Bytes that the kernel has not taken yet. */
  readonly pendingBytes: number;
  /** Unix ms at which the peer's certificate ends; Infinity without one. */
  readonly validUntilMs: number;
  /** The longest that the peer keeps it open unused (`Keep-Alive: timeout`), in ms; -1 = it did not say. May change with each answer. */
  readonly keepAliveTimeoutMs: number;
  /** Closes at once; streams that run are reset with this. */
  destroy(error: StreamError): void;
}

/** A bare connection as one stream of opaque bytes: nothing is sent but by `sendData`; `onData` tells what comes. */
export interface RawConnectionHandler {
  onConnected(stream: HttpStream, info: UpstreamConnectionInfo): void;
  onConnectFailed(reason: AttemptFailure, detail: string): void;
  /** After `onConnected`, exactly once. */
  onClosed(): void;
}

export interface Connector {
  connectHttp(target: ConnectTarget, handler: HttpConnectionHandler): OpenTicket;
  /** `stream` gets `onData`, `onDrain` and `onReset`; a FIN is `onData` with nothing and `last`. */
  connectRaw(target: ConnectTarget, stream: StreamHandler, handler: RawConnectionHandler): OpenTicket;
  /** Calls with the names of secrets that connections use and that have changed. */
  watchSecrets?(listener: (secrets: ReadonlySet<string>) => void): void;
}
