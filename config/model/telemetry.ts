// What is recorded of traffic: access logs and traces.
import type { JsonValue } from "./filter-config.ts";

/** A log file with one JSON object a line; values may hold Envoy's `%COMMAND%` operators. */
export interface AccessLog {
  /** A path; `/dev/stdout` for the process's own output. */
  readonly path: string;
  readonly format:
    | { readonly kind: "json"; readonly fields: { readonly [key: string]: JsonValue } }
    | { readonly kind: "text"; readonly format: string };
}

export interface TracingConfig {
  /** Share of new traces that are sampled, in percent, 0..100. A trace that came in keeps its own decision. */
  readonly randomSampling: number;
  /** Where spans go; undefined = context is propagated, nothing exported. */
  readonly exporter:
    | {
        readonly kind: "otlp";
        readonly cluster: string;
        readonly endpoint: string;
        readonly protocol: "grpc" | "http";
        readonly serviceName: string;
      }
    | undefined;
}
