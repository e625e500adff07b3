// What a policy attaches to: `targetRefs`, as Gateway API's policies have them.

import type { Static } from "typebox";
import { choice, formatted, list, optional, record } from "./fields.ts";
import type { Immutable } from "./structural.ts";

const fields = {
  group: formatted("group", 'Group of the target; "" for a Service.', { default: "" }),
  kind: choice(["Service", "ServiceEntry", "ServiceSubset", "HTTPRoute", "GRPCRoute"], "Kind of the target.", {
    default: "Service",
  }),
  name: formatted("objectName", "Name of the target."),
  sectionName: optional(
    formatted("objectName", "One part of the target: the name of a Service's port, or of a route's rule."),
  ),
};

const groups = {
  "x-kubernetes-validations": [
    {
      rule: "self.kind != 'Service' || self.group == ''",
      message: 'the group of a Service is ""',
      fieldPath: ".group",
    },
    {
      rule: "!(self.kind in ['ServiceEntry', 'ServiceSubset']) || self.group == 'heddle.dev'",
      message: "the group of ServiceEntry and ServiceSubset is heddle.dev",
      fieldPath: ".group",
    },
    {
      rule: "!(self.kind in ['HTTPRoute', 'GRPCRoute']) || self.group == 'gateway.networking.k8s.io'",
      message: "the group of HTTPRoute and GRPCRoute is gateway.networking.k8s.io",
      fieldPath: ".group",
    },
  ],
};

const ownTarget = record("An object of the policy's namespace.", fields, groups);

const target = record(
  "An object of the policy's namespace, or of one that grants it.",
  {
    ...fields,
    namespace: optional(
      formatted(
        "dnsLabel",
        "Namespace of the target; the policy's where absent. Another one must hold a ReferenceGrant from this kind of policy and its namespace to the target.",
      ),
    ),
  },
  groups,
);

export type PolicyTarget = Immutable<Static<typeof target>>;

/** Targets of a policy that must have some. */
export const targetRefs = list(target, "What the policy is for: Services, ServiceSubsets or routes.", 16, {
  minItems: 1,
});

/** Targets of a policy that may be for services only. */
export const serviceTargetRefs = list(
  ownTarget,
  "The Services that the policy is for; the whole namespace where absent.",
  16,
  {
    minItems: 1,
    "x-kubernetes-validations": [
      {
        rule: "self.all(target, target.kind in ['Service', 'ServiceEntry'])",
        message: "every target must be a Service",
      },
    ],
  },
);

/** Targets of a policy about requests as their callers send them, before an endpoint is chosen. */
export const requestTargetRefs = list(target, "The Services or routes that the policy is for.", 16, {
  minItems: 1,
  "x-kubernetes-validations": [
    {
      rule: "self.all(target, target.kind != 'ServiceSubset')",
      message: "every target must be a Service or a route",
    },
  ],
});
