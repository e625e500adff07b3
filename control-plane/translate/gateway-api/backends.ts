// Where a backendRef leads: to a port of a service, whole or as a subset, or nowhere, with the reason that status shows.
import type { Labels } from "#config/model/route.ts";
import { gatewayGroup, heddleGroup } from "#config/schema/kind.ts";
import { grantable, isGranted } from "#config/schema/reference-grant.ts";
import { targetKey } from "../../mesh/snapshot.ts";
import { findPort, subsetBackend, wholeBackend, type Backend, type Scope } from "../scope.ts";

export interface BackendObject {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly port?: number | undefined;
}

/** Whose route (or FallbackPolicy) it is, and the port of the parent that it is attached to. */
export interface ParentContext {
  readonly routeKind: string;
  readonly routeNamespace: string;
  /** `namespace/name`. */
  readonly parentService: string;
  readonly parentPort: number;
}

export type ResolvedBackend =
  | { readonly kind: "backend"; readonly backend: Backend; readonly labels: Labels }
  | {
      readonly kind: "refused";
      /** Reasons of Gateway API's `ResolvedRefs` condition. */
      readonly reason: "InvalidKind" | "RefNotPermitted" | "BackendNotFound" | "UnsupportedProtocol";
      readonly message: string;
    };

/**
 * A backend of another namespace needs a ReferenceGrant there, unless it is the parent itself, which the route's clients call anyway
 * (decisions: 0014). What may not be referred to is not told to be there or not. A subset becomes labels over the whole service's cluster where the proxy can narrow by labels; it has a cluster of its own
 * where it cannot (other dialects, mirrors) or where a TrafficPolicy is for the subset.
 */
export function resolveBackend(
  scope: Scope,
  ref: BackendObject,
  parent: ParentContext,
  needsCluster = false,
): ResolvedBackend {
  const { reader } = scope;
  const namespace = ref.namespace ?? parent.routeNamespace;
  const what = `${ref.kind} "${namespace}/${ref.name}"`;
  const isSubset = ref.group === "heddle.dev" && ref.kind === "ServiceSubset";
  const isService =
    (ref.kind === "Service" && (ref.group === "" || ref.group === "core")) ||
    (ref.kind === "ServiceEntry" && ref.group === "heddle.dev");
  if (!isSubset && !isService)
    return {
      kind: "refused",
      reason: "InvalidKind",
      message: `a backend must be a Service or a ServiceSubset: got ${ref.group}/${ref.kind}`,
    };
  const subset = isSubset ? reader.get("subsets", `${namespace}/${ref.name}`) : undefined;
  const named = `${namespace}/${subset?.spec.service ?? ref.name}`;
  if (namespace !== parent.routeNamespace && named !== parent.parentService) {
    const to = grantable(ref.group, ref.kind, ref.name, subset?.spec.service);
    const { routeKind, routeNamespace } = parent;
    const group = routeKind === "FallbackPolicy" ? heddleGroup : gatewayGroup;
    const from = { group, kind: routeKind, namespace: routeNamespace };
    if (!isGranted(reader.get("referenceGrants", namespace) ?? [], { from, to }))
      return {
        kind: "refused",
        reason: "RefNotPermitted",
        message: `no ReferenceGrant in "${namespace}" lets a ${routeKind} of "${routeNamespace}" refer to ${what}`,
      };
  }
  if (isSubset && subset === undefined)
    return { kind: "refused", reason: "BackendNotFound", message: `${what} does not exist` };
  const service = named;
  const known = reader.get("services", service);
  if (known === undefined)
    return { kind: "refused", reason: "BackendNotFound", message: `service "${service}" does not exist` };
  const port = findPort(known, ref.port ?? parent.parentPort);
  if (port === undefined)
    return {
      kind: "refused",
      reason: "BackendNotFound",
      message: `service "${service}" has no port ${ref.port ?? parent.parentPort}`,
    };
  if (port.protocol === "TCP")
    return {
      kind: "refused",
      reason: "UnsupportedProtocol",
      message: `port ${port.port} of service "${service}" speaks opaque TCP`,
    };
  if (subset === undefined) return { kind: "backend", backend: wholeBackend(service, port.port), labels: {} };
  const hasPolicy = reader.get("trafficPolicies", targetKey("ServiceSubset", namespace, ref.name)) !== undefined;
  if (needsCluster || hasPolicy || scope.dialect !== "heddle")
    return { kind: "backend", backend: subsetBackend(service, port.port, ref.name), labels: {} };
  return { kind: "backend", backend: wholeBackend(service, port.port), labels: subset.spec.labels };
}
