// What the admin port shows of clusters and their endpoints.
import { formatAddress } from "#config/model/address.ts";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, Endpoint } from "#config/model/endpoint.ts";
import type { ClusterSnapshot } from "#proxy/upstream/contract.ts";
import type { ClusterStatus } from "#proxy/worker/protocol.ts";

export function clusterStatuses(
  snapshots: readonly ClusterSnapshot[],
  breakers: ReadonlyMap<string, string>,
  configs: ReadonlyMap<string, Cluster>,
  assignments: ReadonlyMap<string, ClusterLoadAssignment>,
): readonly ClusterStatus[] {
  return snapshots.map((snapshot) => {
    const known = endpointsOf(configs.get(snapshot.name), assignments);
    return {
      name: snapshot.name,
      breaker: breakers.get(snapshot.name),
      endpoints: snapshot.endpoints.map(({ address, health, isEjected, activeRequests, connections }) => {
        const endpoint = known.get(address);
        return {
          address,
          health,
          isEjected,
          activeRequests,
          connections,
          weight: endpoint?.weight ?? 1,
          labels: endpoint?.labels ?? {},
          identity: endpoint?.mesh.kind === "peer" ? endpoint.mesh.identity : undefined,
        };
      }),
    };
  });
}

function endpointsOf(
  config: Cluster | undefined,
  assignments: ReadonlyMap<string, ClusterLoadAssignment>,
): ReadonlyMap<string, Endpoint> {
  const found = new Map<string, Endpoint>();
  if (config === undefined) return found;
  const { discovery } = config;
  const assignment =
    discovery.kind === "eds"
      ? (assignments.get(discovery.serviceName) ?? assignments.get(config.name))
      : discovery.kind === "originalDst"
        ? undefined
        : discovery.assignment;
  for (const { endpoints } of assignment?.localities ?? [])
    for (const endpoint of endpoints) found.set(formatAddress(endpoint), endpoint);
  return found;
}
