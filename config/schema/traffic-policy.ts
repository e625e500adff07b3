// TrafficPolicy: how requests to a service are carried: timeouts, retries, breaker, limits, outliers, balancing, health.

import type { Static } from "typebox";
import { flag, optional, record } from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { targetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";
import { trafficBlocks } from "./traffic/blocks.ts";

const blocks = [
  "timeouts",
  "retries",
  "hedging",
  "backends",
  "circuitBreaker",
  "adaptiveConcurrency",
  "admissionControl",
  "bulkhead",
  "connectionLimits",
  "outlierDetection",
  "loadBalancing",
  "healthCheck",
  "tenants",
];

const spec = record(
  "What the user wants. Each block comes whole from the most specific policy that has it: rule, route, subset, port, service, MeshConfig.",
  {
    targetRefs,
    ...trafficBlocks,
    tenants: optional(
      record("Overrides MeshConfig.spec.tenants for this service.", {
        isolate: flag("A tenant's requests go only to the endpoints of that tenant."),
      }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: blocks.map((block) => `has(self.${block})`).join(" || "),
        message: `at least one of ${blocks.join(", ")} must be set`,
      },
    ],
  },
);

export type TrafficPolicySpec = Immutable<Static<typeof spec>>;
export type TrafficPolicy = ResourceOf<"TrafficPolicy", TrafficPolicySpec>;

export const trafficPolicyKind = heddleKind({
  kind: "TrafficPolicy",
  plural: "trafficpolicies",
  shortNames: ["tp"],
  description:
    "How requests to a service are carried: timeouts, retries and their budget, circuit breaker, connection limits, outlier detection, load balancing, health checks.",
  spec,
  columns: [columns.target, columns.accepted, columns.programmed, columns.age],
});
