// What the main thread and a worker say to each other. Everything is plain data (structured clone).
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, EndpointHealth } from "#config/model/endpoint.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable } from "#config/model/route.ts";
import type { Secret } from "#config/model/tls.ts";
import type { SharedRouteTable } from "#config/xds/plain/packed-hosts.ts";
import type { LogLevel } from "#lib/log.ts";
import type { OverloadLevel } from "#proxy/app/overload.ts";
import type { ScopedState } from "#proxy/resilience/breakers.ts";
import type { MetricsSnapshot } from "#proxy/telemetry/metrics.ts";
import type { ExplainRecord, SpanRecord } from "#proxy/telemetry/records.ts";
import type { TraceFindings } from "#proxy/telemetry/trace-watch.ts";

/** What differs from what the worker has. */
export interface ConfigDelta {
  readonly version: string;
  readonly listeners: Changes<Listener>;
  readonly routes: Changes<RouteTable | SharedRouteTable>;
  readonly clusters: Changes<Cluster>;
  readonly assignments: Changes<ClusterLoadAssignment>;
  readonly secrets: Changes<Secret>;
}

export interface Changes<T> {
  readonly changed: readonly (readonly [name: string, value: T])[];
  readonly removed: readonly string[];
}

export interface WorkerData {
  readonly index: number;
  readonly cells: SharedArrayBuffer;
  readonly logLevel: LogLevel;
  readonly proxyName: string;
  readonly localCluster: string;
  readonly reusePort: boolean;
  readonly drainTimeMs: number;
  readonly ticketSecret: Uint8Array;
}

export type ToWorker =
  | { readonly kind: "apply"; readonly id: number; readonly delta: ConfigDelta }
  | { readonly kind: "health"; readonly cluster: string; readonly endpoint: string; readonly health: EndpointHealth }
  | { readonly kind: "query"; readonly id: number; readonly query: Query }
  | { readonly kind: "looked-up"; readonly table: string; readonly host: string; readonly failure: string | undefined }
  | { readonly kind: "log"; readonly level: LogLevel }
  | { readonly kind: "overload"; readonly level: OverloadLevel }
  | { readonly kind: "collect"; readonly who: "all" | "idle" }
  | { readonly kind: "drain"; readonly timeoutMs: number };

export type Query =
  | { readonly kind: "metrics" }
  | { readonly kind: "explain"; readonly requestId: string }
  | { readonly kind: "latest"; readonly count: number }
  | { readonly kind: "clusters" }
  | { readonly kind: "breakers" }
  | { readonly kind: "findings" }
  | { readonly kind: "cpu-profile"; readonly seconds: number }
  | { readonly kind: "heap-snapshot" }
  | { readonly kind: "hosts" };

export type ProfileQuery = Extract<Query, { readonly kind: "cpu-profile" | "heap-snapshot" }>;

/** What each query is answered with. */
export interface Answers {
  readonly metrics: MetricsSnapshot;
  readonly explain: readonly ExplainRecord[];
  readonly latest: readonly ExplainRecord[];
  readonly clusters: readonly ClusterStatus[];
  readonly breakers: readonly ScopedState[];
  readonly findings: TraceFindings;
  /** A `.cpuprofile`. */
  readonly "cpu-profile": string;
  /** A `.heapsnapshot`. */
  readonly "heap-snapshot": Uint8Array;
  /** Virtual hosts of on-demand tables, `<table>/<virtual host>`, that requests went to since the last query. */
  readonly hosts: readonly string[];
}

export interface ClusterStatus {
  readonly name: string;
  readonly breaker: string | undefined;
  readonly endpoints: readonly EndpointStatus[];
}

export interface EndpointStatus {
  readonly address: string;
  readonly health: string;
  readonly isEjected: boolean;
  readonly activeRequests: number;
  readonly connections: number;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly identity: string | undefined;
}

export type FromWorker =
  | { readonly kind: "ready" }
  | {
      readonly kind: "applied";
      readonly id: number;
      readonly version: string;
      readonly failures: readonly ApplyFailure[];
      /** Name and open port of every listener. */
      readonly ports: readonly (readonly [name: string, port: number])[];
    }
  | { readonly kind: "answer"; readonly id: number; readonly value: unknown }
  | { readonly kind: "spans"; readonly spans: readonly SpanRecord[] }
  /** A request asks for a host of a table whose hosts come on demand. */
  | { readonly kind: "lookup"; readonly table: string; readonly host: string }
  | { readonly kind: "drained" };

/** A resource that did not compile or could not be opened; the old one stays. */
export interface ApplyFailure {
  readonly type: "listener" | "route" | "cluster" | "secret";
  readonly name: string;
  readonly message: string;
}

/** What has to be said to go from one set of named resources to another; equal resources are the same object. */
export function diffResources<T>(from: ReadonlyMap<string, T>, to: ReadonlyMap<string, T>): Changes<T> {
  const changed: (readonly [string, T])[] = [];
  for (const [name, value] of to) if (from.get(name) !== value) changed.push([name, value]);
  const removed = [...from.keys()].filter((name) => !to.has(name));
  return { changed, removed };
}
