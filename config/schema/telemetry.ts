// Telemetry: what is traced and what is logged. MeshConfig has the same blocks for the whole mesh.

import type { Static } from "typebox";
import { choice, decimal, flag, formatted, mapOf, optional, record, text } from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { serviceTargetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";

export const tracing = record("Spans of the proxies.", {
  samplingPercent: decimal(
    "Share of the new traces that are recorded; a trace that comes in keeps its decision. (Istio's default.)",
    0,
    100,
    { default: 1 },
  ),
  otlp: optional(
    record("Where spans go.", {
      endpoint: formatted("url", "Address of an OTLP receiver; over HTTP without `/v1/traces`."),
      protocol: choice(["http", "grpc"], "The form of OTLP: HTTP with protobuf, or gRPC.", { default: "http" }),
    }),
  ),
});

export const accessLog = record("One line of JSON for each request.", {
  enabled: flag("Whether lines are written.", { default: true }),
  path: formatted("absolutePath", "The file that lines go to.", { default: "/dev/stdout" }),
  fields: optional(
    mapOf(
      text("Text with Envoy's command operators."),
      'Fields beside the standard ones, as `user: "%REQ(x-user)%"`.',
      64,
    ),
  ),
});

const spec = record(
  "What the user wants. Each block comes whole from the most specific one that has it: service, namespace, MeshConfig.",
  { targetRefs: optional(serviceTargetRefs), tracing: optional(tracing), accessLog: optional(accessLog) },
  {
    "x-kubernetes-validations": [
      { rule: "has(self.tracing) || has(self.accessLog)", message: "at least one of tracing, accessLog must be set" },
    ],
  },
);

export type Tracing = Immutable<Static<typeof tracing>>;
export type AccessLog = Immutable<Static<typeof accessLog>>;
export type TelemetrySpec = Immutable<Static<typeof spec>>;
export type Telemetry = ResourceOf<"Telemetry", TelemetrySpec>;

export const telemetryKind = heddleKind({
  kind: "Telemetry",
  plural: "telemetries",
  description:
    "Says how many requests of a namespace or of single services are traced, where spans go, and what the access log has.",
  spec,
  columns: [
    { name: "Sampling", type: "string", jsonPath: ".spec.tracing.samplingPercent" },
    columns.accepted,
    columns.age,
  ],
});
