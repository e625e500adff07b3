// The metadata of an object, as far as a user writes it; what Kubernetes adds is let through unread.

import { structural, formatted, labels, mapOf, optional, record, text } from "./fields.ts";
import type { StructuralSchema } from "./structural.ts";

const givenByKubernetes = [
  "uid",
  "resourceVersion",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "managedFields",
  "ownerReferences",
  "finalizers",
  "generateName",
  "selfLink",
];

const written = structural(
  record("Metadata.", {
    name: formatted("objectName", "Name of the object."),
    namespace: optional(formatted("dnsLabel", "Namespace of the object.")),
    labels: labels("Labels of the object.", { default: {} }),
    annotations: mapOf(text("A value.", { maxLength: 262_144 }), "Annotations of the object.", 1024, { default: {} }),
  }),
);

export const metadataSchema: StructuralSchema = {
  ...written,
  properties: {
    ...written.properties,
    generation: { type: "integer", minimum: 0 },
    ...Object.fromEntries(givenByKubernetes.map((field) => [field, {}])),
  },
};
