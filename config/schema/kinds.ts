// The list of every kind that Heddle reads, and the union of what they become.

import { fallbackPolicyKind, type FallbackPolicy } from "./fallback-policy.ts";
import { faultPolicyKind, type FaultPolicy } from "./fault-policy.ts";
import { grpcRouteKind, type GRPCRoute } from "./grpc-route.ts";
import { httpRouteKind, type HTTPRoute } from "./http-route.ts";
import type { KindDefinition } from "./kind.ts";
import { meshConfigKind, type MeshConfig } from "./mesh-config.ts";
import { peerAuthenticationKind, type PeerAuthentication } from "./peer-authentication.ts";
import { rateLimitPolicyKind, type RateLimitPolicy } from "./rate-limit-policy.ts";
import { referenceGrantKind, type ReferenceGrant } from "./reference-grant.ts";
import { serviceEntryKind, type ServiceEntry } from "./service-entry.ts";
import { serviceSubsetKind, type ServiceSubset } from "./service-subset.ts";
import { telemetryKind, type Telemetry } from "./telemetry.ts";
import { trafficPolicyKind, type TrafficPolicy } from "./traffic-policy.ts";

/** A checked object of any kind; `kind` tells which. */
export type Resource =
  | MeshConfig
  | ServiceEntry
  | ServiceSubset
  | HTTPRoute
  | GRPCRoute
  | ReferenceGrant
  | TrafficPolicy
  | RateLimitPolicy
  | FallbackPolicy
  | FaultPolicy
  | PeerAuthentication
  | Telemetry;

export type ResourceKind = Resource["kind"];

/** In the order of the reference page. */
export const kinds: readonly KindDefinition<ResourceKind>[] = [
  meshConfigKind,
  serviceEntryKind,
  serviceSubsetKind,
  httpRouteKind,
  grpcRouteKind,
  referenceGrantKind,
  trafficPolicyKind,
  rateLimitPolicyKind,
  fallbackPolicyKind,
  faultPolicyKind,
  peerAuthenticationKind,
  telemetryKind,
];

/** How a resource is called in messages: `HTTPRoute "shop/cart"`, `MeshConfig "default"`. */
export function resourceName(resource: {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: unknown };
}): string {
  const { name, namespace } = resource.metadata;
  const prefix = typeof namespace === "string" && namespace !== "" ? `${namespace}/` : "";
  return `${resource.kind} "${prefix}${name}"`;
}
