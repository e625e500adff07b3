// The instances of a backend, by locality and priority. Envoy: `config.endpoint.v3`.
import type { Labels } from "./route.ts";

export interface ClusterLoadAssignment {
  readonly cluster: string;
  readonly localities: readonly LocalityEndpoints[];
  readonly overprovisioningFactor: number;
}

export interface LocalityEndpoints {
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
  /** 0 is the best; contiguous. */
  readonly priority: number;
  readonly weight: number;
  readonly endpoints: readonly Endpoint[];
}

export type EndpointHealth = "unknown" | "healthy" | "unhealthy" | "draining" | "timeout" | "degraded";

export interface Endpoint {
  /** IP; a host name only in DNS clusters. */
  readonly address: string;
  readonly port: number;
  readonly hostname: string;
  readonly health: EndpointHealth;
  readonly weight: number;
  /** Labels for subsets (`envoy.lb` metadata): version, tenant, environment ... */
  readonly labels: Labels;
  /** Labels for the choice of TLS (`envoy.transport_socket_match` metadata). */
  readonly transportSocket: Labels;
  readonly mesh: MeshHop;
  /** Where health checks ask, on the same address; absent = where requests go. */
  readonly healthCheckPort?: number;
}

/** Never guessed: set by injection, by registry metadata or by the sidecar's own registration (contracts.md). */
export type MeshHop =
  | { readonly kind: "none" }
  | {
      readonly kind: "peer";
      readonly inboundAddress: string;
      readonly inboundPort: number;
      readonly identity: string;
      readonly version: string;
    };
