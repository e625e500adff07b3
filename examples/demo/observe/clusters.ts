// What a sidecar's admin port says of the backends it calls (`/clusters`).
import { fieldOf, listOf, textOf } from "../json.ts";

export interface ClusterView {
  readonly name: string;
  /** `closed`, `open` or `half-open`; empty when the cluster has no breaker, or none was needed yet. */
  readonly breaker: string;
  readonly endpoints: readonly EndpointView[];
}

interface EndpointView {
  /** `address:port`. */
  readonly address: string;
  /** True when requests may go there. */
  readonly isInTraffic: boolean;
}

const OUT: ReadonlySet<string> = new Set(["unhealthy", "timeout", "draining"]);

/** Reads the JSON that `/clusters` answered. */
export function readClusters(body: unknown): readonly ClusterView[] {
  return listOf({ body }, "body").map((cluster) => ({
    name: textOf(cluster, "name"),
    breaker: textOf(cluster, "breaker"),
    endpoints: listOf(cluster, "endpoints").map((endpoint) => ({
      address: textOf(endpoint, "address"),
      isInTraffic: !OUT.has(textOf(endpoint, "health")) && fieldOf(endpoint, "isEjected") !== true,
    })),
  }));
}
