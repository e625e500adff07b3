// PeerAuthentication: whether the ports of workloads take mutual TLS only, both, or plaintext only.

import type { Static } from "typebox";
import { choice, labels, list, optional, portReference, record } from "./fields.ts";
import { columns, heddleKind, type ResourceOf } from "./kind.ts";
import { serviceTargetRefs } from "./policy-targets.ts";
import type { Immutable } from "./structural.ts";

export const mtlsModes = ["STRICT", "PERMISSIVE", "DISABLE"] as const;
export type MtlsMode = (typeof mtlsModes)[number];

export const mtlsModeDescription = "STRICT takes mutual TLS alone, PERMISSIVE plaintext too, DISABLE plaintext alone.";

const spec = record(
  "What the user wants. The most specific one wins: port, service or selector, namespace, MeshConfig.",
  {
    targetRefs: optional(serviceTargetRefs),
    selector: optional(
      record("The endpoints that the policy is for, by their labels.", {
        matchLabels: labels("Labels that must all be equal.", { minProperties: 1 }),
      }),
    ),
    mode: choice(mtlsModes, mtlsModeDescription),
    ports: optional(
      list(
        record("Another mode for one port.", {
          port: portReference("Name or number of the service's port."),
          mode: choice(mtlsModes, mtlsModeDescription),
        }),
        "Other modes for single ports.",
        32,
        {
          minItems: 1,
        },
      ),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        rule: "!(has(self.targetRefs) && has(self.selector))",
        message: "only one of targetRefs and selector may be set",
      },
      {
        rule: "!has(self.ports) || has(self.targetRefs) || has(self.selector)",
        message: "ports need targetRefs or a selector: a namespace has no ports",
        fieldPath: ".ports",
      },
    ],
  },
);

export type PeerAuthenticationSpec = Immutable<Static<typeof spec>>;
export type PeerAuthentication = ResourceOf<"PeerAuthentication", PeerAuthenticationSpec>;

export const peerAuthenticationKind = heddleKind({
  kind: "PeerAuthentication",
  plural: "peerauthentications",
  shortNames: ["pa"],
  description:
    "Says whether the ports of a namespace's workloads take mutual TLS alone, plaintext too, or plaintext alone.",
  spec,
  columns: [{ name: "Mode", type: "string", jsonPath: ".spec.mode" }, columns.accepted, columns.age],
});
