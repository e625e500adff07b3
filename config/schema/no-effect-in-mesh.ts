// Warns of policies that are valid and have their targets, and that still nothing in this mesh acts on.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import type { GRPCRoute } from "./grpc-route.ts";
import type { HTTPRoute } from "./http-route.ts";
import { resourceName, type Resource } from "./kinds.ts";
import type { TenantSettings } from "./mesh-config.ts";
import { isTargetPermitted, type GrantSource } from "./policy-grants.ts";
import type { PolicyTarget } from "./policy-targets.ts";
import type { TrafficPolicy } from "./traffic-policy.ts";

/** What there is in the mesh; services and routes by `namespace/name`. */
export interface MeshView {
  readonly portsOf: (service: string) => readonly { readonly name: string; readonly isOpaque: boolean }[] | undefined;
  readonly grants: GrantSource;
  readonly routeOf: (kind: string, key: string) => HTTPRoute | GRPCRoute | undefined;
  /** Of the MeshConfig in force. */
  readonly tenants: TenantSettings | undefined;
}

interface Found {
  readonly path: JsonPath;
  readonly says: string;
}

/** The warnings for one resource; none for targets that are not there, of which others tell. */
export function findNoEffectInMesh(resource: Resource, mesh: MeshView): ConfigError[] {
  return fieldsOf(resource, mesh).map(({ path, says }) => {
    const message = `${resourceName(resource)} is accepted, but ${says}`;
    return problemAt(resource.source, path, { code: "HDL_CONFIG_NO_EFFECT", severity: "warning", message });
  });
}

function fieldsOf(resource: Resource, mesh: MeshView): readonly Found[] {
  // Of what it may not act on nothing is told but that.
  const forTargets = (
    refs: readonly PolicyTarget[],
    check: (namespace: string, ref: PolicyTarget, path: JsonPath) => readonly Found[],
  ) =>
    refs.flatMap((ref, at) =>
      isTargetPermitted(resource, ref, mesh.grants)
        ? check(ref.namespace ?? resource.metadata.namespace, ref, ["spec", "targetRefs", at])
        : [],
    );
  switch (resource.kind) {
    case "RateLimitPolicy":
    case "FaultPolicy":
    case "FallbackPolicy": {
      const { targetRefs, direction } = resource.spec;
      return forTargets(targetRefs, (namespace, ref, path) => [
        ...(direction === "inbound" ? foreignRoute(namespace, ref, path, mesh, "it") : []),
        // The server's own sidecar takes each connection of a peer for a request.
        ...(direction === "outbound" || resource.kind === "FallbackPolicy"
          ? opaqueTarget(namespace, ref, path, mesh, "it")
          : []),
      ]);
    }
    case "TrafficPolicy": {
      const { targetRefs, bulkhead } = resource.spec;
      const ofRequests = requestBlocks(resource).join(", ");
      const ofTargets = forTargets(targetRefs, (namespace, ref, path) => [
        ...(bulkhead?.direction === "inbound" ? foreignRoute(namespace, ref, path, mesh, "bulkhead") : []),
        ...(ofRequests === "" ? [] : opaqueTarget(namespace, ref, path, mesh, ofRequests)),
      ]);
      return [...ofTargets, ...withoutTenants(resource, mesh)];
    }
    case "HTTPRoute":
    case "GRPCRoute":
    case "MeshConfig":
    case "PeerAuthentication":
    case "ReferenceGrant":
    case "ServiceEntry":
    case "ServiceSubset":
    case "Telemetry":
      return [];
    default:
      return resource satisfies never;
  }
}

/** What a policy says of tenants where the mesh knows none, or none by a header. */
function withoutTenants({ spec }: TrafficPolicy, { tenants }: MeshView): readonly Found[] {
  const keys = spec.loadBalancing?.hashOn ?? [];
  const hasHeader = tenants?.sources.some(({ header }) => header !== undefined) === true;
  return [
    ...(spec.tenants !== undefined && tenants === undefined
      ? [{ path: ["spec", "tenants"], says: "tenants has no effect: MeshConfig names no source of tenants" }]
      : []),
    ...keys.flatMap(({ type }, at) =>
      type === "tenant" && !hasHeader
        ? [
            {
              path: ["spec", "loadBalancing", "hashOn", at],
              says: "the key tenant has no effect: no source of tenants in MeshConfig is a header",
            },
          ]
        : [],
    ),
  ];
}

/** Those blocks of a policy that are about requests. */
function requestBlocks({ spec }: TrafficPolicy): readonly string[] {
  const { timeouts = {}, retries, hedging, backends, admissionControl, bulkhead, healthCheck } = spec;
  const ofRequests = ["request", "backendRequest", "backendIdle", "stream", "idle"] as const;
  const blocks = {
    retries,
    hedging,
    backends,
    admissionControl,
    bulkhead: bulkhead?.direction === "outbound" ? bulkhead : undefined,
    healthCheck: healthCheck?.tcp === undefined ? healthCheck : undefined,
  };
  return [
    ...ofRequests.filter((field) => timeouts[field] !== undefined).map((field) => `timeouts.${field}`),
    ...Object.entries(blocks).flatMap(([name, block]) => (block === undefined ? [] : [name])),
  ];
}

/** A server's sidecar hears its own namespace alone: a consumer's route is for the consumer's own sidecars (GEP-1294). */
function foreignRoute(
  namespace: string,
  { kind, name }: PolicyTarget,
  path: JsonPath,
  mesh: MeshView,
  what: string,
): readonly Found[] {
  const { parentRefs = [] } = mesh.routeOf(kind, `${namespace}/${name}`)?.spec ?? {};
  const services = parentRefs.filter((parent) => parent.kind === "Service" || parent.kind === "ServiceEntry");
  if (services.length === 0 || services.some((parent) => (parent.namespace ?? namespace) === namespace)) return [];
  const says = `${what} has no effect there: ${kind} "${namespace}/${name}" is for a Service of another namespace, whose sidecars heed no policies of this one (direction: outbound is for this namespace's own)`;
  return [{ path, says }];
}

function opaqueTarget(
  namespace: string,
  { kind, name, sectionName }: PolicyTarget,
  path: JsonPath,
  mesh: MeshView,
  what: string,
): readonly Found[] {
  if (kind !== "Service" && kind !== "ServiceEntry") return [];
  const all = mesh.portsOf(`${namespace}/${name}`) ?? [];
  const ports = all.filter((port) => sectionName === undefined || port.name === sectionName);
  if (ports.length === 0 || !ports.every(({ isOpaque }) => isOpaque)) return [];
  const says = `${what} has no effect there: service "${namespace}/${name}" speaks opaque TCP on ${ports.map((port) => port.name).join(", ")}, which has no requests`;
  return [{ path, says }];
}
