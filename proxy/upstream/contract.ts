// What the request path asks of the upstream room: an endpoint, a stream to it, and to be told how it went.
import type { Cluster } from "#config/model/cluster.ts";
import type { SocketAddress } from "#config/model/address.ts";
import type { ClusterLoadAssignment, Endpoint, EndpointHealth } from "#config/model/endpoint.ts";
import type { AttemptFailure, EndpointView, Pick } from "#filters/filter.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";

/** All clusters of one worker. Runtime state (pools, ejections, EWMA, counts) is keyed by cluster and endpoint and survives `apply`. */
export interface ClusterSet {
  get(name: string): UpstreamCluster | undefined;
  /** New, changed and removed clusters; what did not change keeps everything. */
  apply(clusters: readonly Cluster[], assignments: ReadonlyMap<string, ClusterLoadAssignment>): void;
  /** What an active health check found; `address` as `formatAddress` writes it. Unknown ones are ignored. */
  setHealth(cluster: string, address: string, health: EndpointHealth): void;
  /** These SDS secrets have new contents: connections that were made with them drain, new ones use what there is now. */
  renewTls(secrets: ReadonlySet<string>): void;
  /** For admin and metrics. Not for the hot path. */
  snapshot(): readonly ClusterSnapshot[];
  /** Drains every pool and stops every timer. */
  close(): void;
}

export interface ClusterSnapshot {
  readonly name: string;
  readonly connections: number;
  readonly pending: number;
  readonly requests: number;
  readonly retries: number;
  readonly endpoints: readonly {
    readonly address: string;
    readonly health: EndpointHealth;
    readonly isEjected: boolean;
    readonly activeRequests: number;
    readonly connections: number;
    readonly totalRequests: number;
    readonly totalFailures: number;
  }[];
}

/** Whose limits count: the route's `priority`. */
export type RequestPriority = "default" | "high";

export interface UpstreamCluster extends EndpointView {
  readonly config: Cluster;
  /**
   * Takes a place: false, one among the cluster's requests (max_requests); true, one among its retries (max_retries or the retry
   * budget), beside the place that the request holds already. False = overflow, nothing was taken. max_pending is taken and
   * given back by `open`. A retry of what nobody processed (`isUnprocessed`) has the floor of `unprocessedFloor`.
   */
  admit(isRetry: boolean, priority?: RequestPriority, isUnprocessed?: boolean): boolean;
  release(isRetry: boolean, priority?: RequestPriority): void;
  /** Chooses an endpoint by subset, health, locality and balancer. A cluster of the original destination takes `destination`. */
  pick(pick: Pick, destination?: SocketAddress): PickedEndpoint | PickFailure;
}

export type PickFailure = "no-healthy-endpoint" | "no-endpoint-in-subset" | "session-endpoint-gone" | "cluster-empty";

/** One choice; `open` may be called once, and again after its stream was lost before an answer. */
export interface PickedEndpoint {
  readonly endpoint: Endpoint;
  /**
   * Opens a stream on a pooled connection (or waits for one): calls `onReady` with it, or `onFailure`, at once or later, exactly
   * one of them unless `cancel` comes first. `downstreamProtocol` matters where the cluster says "downstream".
   */
  open(downstreamProtocol: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket;
  /**
   * Instead of `open`: opaque bytes to the endpoint. A plain endpoint gets a connection of its own; a mesh peer a CONNECT stream
   * with `:protocol: heddle-tcp` on the pooled connection, ready when the peer answered 2xx. Then the handler gets only
   * `onData` (empty with `last` = half-close), `onDrain` and `onReset`, and the stream takes only `sendData`, `consumed` and `reset`.
   * `authority` names the destination to a mesh peer (`host:port`).
   */
  openTunnel(authority: string, handler: StreamHandler, waiter: OpenWaiter): OpenTicket;
  /** For balancers, outlier detection and load statistics: once per attempt, when its head came or it failed. */
  report(result: AttemptReport): void;
  /** The cluster's weights follow what its endpoints say of their load. */
  readonly wantsLoadReports?: boolean;
  /** A response's head or trailers, which may have a load report. */
  reportLoad?(fields: HeaderBlock): void;
  /** The stream is over: least-request counts go down. Once per pick. */
  done(): void;
}

/** What the pool must know before it gives a request a connection that its peer may be about to close. */
export type Care =
  /** It may be sent again when it is lost. */
  | "none"
  /** It must not be lost: only a connection that was proven to last, or a new one. */
  | "proven"
  /** It was lost once: a new connection. */
  | "fresh";

export interface OpenWaiter {
  /** Undefined = none. */
  readonly care?: Care;
  /** The clock's reading just before `open`, which saves another; undefined = not read. */
  readonly startMs?: number;
  /** `isReused`: other requests went on the connection before. */
  onReady(stream: HttpStream, connection: UpstreamConnectionInfo, isReused: boolean): void;
  onFailure(reason: AttemptFailure, detail: string): void;
}

export interface OpenTicket {
  cancel(): void;
}

export interface UpstreamConnectionInfo {
  readonly protocol: "http1" | "http2";
  readonly isTls: boolean;
  readonly peerIdentity: string | undefined;
  readonly localAddress: string;
  readonly localPort: number;
}

export type AttemptReport =
  | {
      readonly kind: "response";
      readonly status: number;
      readonly grpcStatus: number | undefined;
      readonly latencyMs: number;
      readonly retryAfterMs: number;
    }
  | { readonly kind: "failure"; readonly reason: AttemptFailure; readonly latencyMs: number }
  /** It was given up, because another attempt answered first: it would have taken longer than `latencyMs`, and did nothing wrong. */
  | { readonly kind: "cancelled"; readonly latencyMs: number };
