// ServiceSubset: a Service narrowed by labels of its endpoints; a backend of routes.

import type { Static } from "typebox";
import { formatted, labels, record } from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import type { Immutable } from "./structural.ts";

const spec = record("What the user wants.", {
  service: formatted("objectName", "Name of the Service or ServiceEntry, of the same namespace."),
  labels: labels("Labels that an endpoint must all have: version, tenant, environment ...", { minProperties: 1 }),
});

export type ServiceSubsetSpec = Immutable<Static<typeof spec>>;
export type ServiceSubset = ResourceOf<"ServiceSubset", ServiceSubsetSpec>;

export const serviceSubsetKind = heddleKind({
  kind: "ServiceSubset",
  plural: "servicesubsets",
  shortNames: ["subset"],
  description:
    "A Service narrowed to those endpoints that have these labels. Can be a backendRef of a route and the target of a TrafficPolicy.",
  spec,
  columns: [{ name: "Service", type: "string", jsonPath: ".spec.service" }, columns.accepted, columns.age],
});
