// The contract of active health probes: asks one endpoint once.
import type { Cluster, HealthCheck } from "#config/model/cluster.ts";
import type { Endpoint } from "#config/model/endpoint.ts";
import type { ClientTls } from "#proxy/wire/connect.ts";

/** `degraded`: well, but others should have the requests first; `refused`: a clear "no" (an unexpected status, NOT_SERVING), for which no threshold is waited; `failed`: no answer. */
export type ProbeResult = "healthy" | "degraded" | "failed" | "refused";

export interface Probe {
  /** Ends by itself after the check's timeout. Rejects = failed. */
  check(): Promise<ProbeResult>;
  close(): void;
}

export interface ProbeTarget {
  readonly cluster: Cluster;
  readonly endpoint: Endpoint;
  readonly check: HealthCheck;
  readonly address: string;
  readonly port: number;
  /** TLS that the endpoint is called with; undefined = plaintext. */
  readonly tls: ClientTls | undefined;
}

export type MakeProbe = (target: ProbeTarget) => Probe;
