// The status of our kinds: conditions, as all of Kubernetes has them (metav1.Condition).

import type { StructuralSchema } from "./structural.ts";

export const conditionSchema: StructuralSchema = {
  type: "object",
  description: "What the control plane found. Written by it alone.",
  properties: {
    observedGeneration: {
      type: "integer",
      format: "int64",
      minimum: 0,
      description: "The generation that the conditions are about.",
    },
    conditions: {
      type: "array",
      description:
        "Accepted (the object is valid), ResolvedRefs (all that it names exists), Programmed (live on all proxies concerned).",
      maxItems: 8,
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"],
      items: {
        type: "object",
        description: "A condition.",
        required: ["type", "status", "lastTransitionTime", "reason", "message"],
        properties: {
          type: { type: "string", maxLength: 316, description: "Name of the condition." },
          status: { type: "string", enum: ["True", "False", "Unknown"], description: "Whether it holds." },
          observedGeneration: {
            type: "integer",
            format: "int64",
            minimum: 0,
            description: "The generation that it is about.",
          },
          lastTransitionTime: { type: "string", format: "date-time", description: "When the status last changed." },
          reason: { type: "string", minLength: 1, maxLength: 1024, description: "One word why." },
          message: { type: "string", maxLength: 32_768, description: "A sentence why." },
        },
      },
    },
  },
};
