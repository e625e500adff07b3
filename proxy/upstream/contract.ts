// What the request path asks of the upstream room: an endpoint, a stream to it, and to be told how it went.
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint } from "#config/model/endpoint.ts";
import type { AttemptFailure, Pick } from "#filters/filter.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";

/** All clusters of one worker. Runtime state (pools, ejections, EWMA, counts) is keyed by cluster and endpoint and survives `apply`. */
export interface ClusterSet {
  get(name: string): UpstreamCluster | undefined;
  /** New, changed and removed clusters; what did not change keeps everything. */
  apply(clusters: readonly Cluster[], assignments: ReadonlyMap<string, ClusterLoadAssignment>): void;
}

export interface UpstreamCluster {
  readonly config: Cluster;
  /** Takes a place among the cluster's requests (max_requests, max_pending), or says "overflow". */
  admit(isRetry: boolean): boolean;
  release(isRetry: boolean): void;
  /** Chooses an endpoint by subset, health, locality and balancer. */
  pick(pick: Pick): PickedEndpoint | PickFailure;
}

export type PickFailure = "no-healthy-endpoint" | "no-endpoint-in-subset" | "cluster-empty";

/** One choice; `open` may be called once. */
export interface PickedEndpoint {
  readonly endpoint: Endpoint;
  /**
   * Opens a stream on a pooled connection (or waits for one): calls `onReady` with it, or `onFailure`, at once or later, exactly
   * one of them unless `cancel` comes first. `downstreamProtocol` matters where the cluster says "downstream".
   */
  open(downstreamProtocol: "http1" | "http2", handler: StreamHandler, waiter: OpenWaiter): OpenTicket;
  /** For balancers, outlier detection and load statistics: once per attempt, when its head came or it failed. */
  report(result: AttemptReport): void;
  /** The stream is over: least-request counts go down. Once per pick. */
  done(): void;
}

export interface OpenWaiter {
  onReady(stream: HttpStream, connection: UpstreamConnectionInfo): void;
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
  | { readonly kind: "failure"; readonly reason: AttemptFailure; readonly latencyMs: number };
