// ReferenceGrant of Gateway API: which routes of other namespaces may send requests to Services of this one, and which policies act here.

import type { Static } from "typebox";
import { formatted, list, optional, record, text } from "./fields.ts";
import { gatewayKind, type ResourceOf } from "./kind.ts";
import type { Immutable } from "./structural.ts";

const spec = record("Who may refer to what. Grants add up.", {
  from: list(
    record("Objects of one kind in one namespace.", {
      group: formatted("group", "Group of what refers: gateway.networking.k8s.io for routes, heddle.dev for policies."),
      kind: formatted(
        "kind",
        "Kind of what refers: HTTPRoute, GRPCRoute, TrafficPolicy, RateLimitPolicy, FaultPolicy or FallbackPolicy. Others are for other controllers.",
      ),
      namespace: formatted("dnsLabel", "Namespace of what refers."),
    }),
    "Who may refer; one of them is enough.",
    16,
    { minItems: 1 },
  ),
  to: list(
    record("Objects of one kind in the grant's own namespace.", {
      group: formatted("group", 'Group of what may be referred to; "" for a Service.'),
      kind: formatted(
        "kind",
        "Kind of what may be referred to: Service (a ServiceEntry is one too) or ServiceSubset; for policies also HTTPRoute or GRPCRoute.",
      ),
      name: optional(text("Name of the one object; all of the kind where absent.", { minLength: 1, maxLength: 253 })),
    }),
    "To what; one of them is enough.",
    16,
    { minItems: 1 },
  ),
});

export type ReferenceGrantSpec = Immutable<Static<typeof spec>>;
export type ReferenceGrant = ResourceOf<"ReferenceGrant", ReferenceGrantSpec>;

export const referenceGrantKind = gatewayKind({
  kind: "ReferenceGrant",
  plural: "referencegrants",
  olderVersions: ["v1beta1"],
  description:
    "Lets routes of other namespaces send requests to Services of its own namespace, and policies act on them (Gateway API v1).",
  spec,
});

/** One end of a reference across namespaces. */
export interface Reference {
  readonly from: { readonly group: string; readonly kind: string; readonly namespace: string };
  /** What is referred to, by each kind and name that a grant may call it. */
  readonly to: readonly { readonly group: string; readonly kind: string; readonly name: string }[];
}

/** Whether one of the grants, all of the namespace that is referred to, allows it. */
export function isGranted(grants: readonly ReferenceGrant[], { from: who, to }: Reference): boolean {
  return grants.some(
    ({ spec: { from, to: targets } }) =>
      from.some((one) => one.group === who.group && one.kind === who.kind && one.namespace === who.namespace) &&
      targets.some((target) =>
        to.some(
          ({ group, kind, name }) =>
            sameGroup(target.group) === sameGroup(group) &&
            target.kind === kind &&
            (target.name === undefined || target.name === name),
        ),
      ),
  );
}

/** A Service, a ServiceEntry that stands for one, and a subset of it: a grant for the whole is one for the part. A route is itself. */
export function grantable(
  group: string,
  kind: string,
  name: string,
  /** Of a subset. */
  service = name,
): Reference["to"] {
  if (kind === "HTTPRoute" || kind === "GRPCRoute") return [{ group, kind, name }];
  const whole = [
    { group: "", kind: "Service", name: service },
    { group: "heddle.dev", kind: "ServiceEntry", name: service },
  ];
  return kind === "ServiceSubset" ? [{ group, kind, name }, ...whole] : whole;
}

function sameGroup(group: string): string {
  return group === "core" ? "" : group;
}
