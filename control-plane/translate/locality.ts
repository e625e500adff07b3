// How near the endpoints of a backend are to one client: localities with priorities or shares.
import type { NodeInfo } from "#config/model/bootstrap.ts";
import type { LocalityEndpoints } from "#config/model/endpoint.ts";
import type { LocalityPolicy } from "#config/schema/traffic/load-balancing.ts";
import type { MeshSnapshot } from "../mesh/snapshot.ts";
import type { Workload } from "../mesh/workload.ts";
import { trafficFor } from "./policy/traffic.ts";
import { findPort, meshConfigIn, type Backend, type Scope } from "./scope.ts";

/** Empty words: not known. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
}

/** What the registry says of the workload holds over what the node says of itself. */
export function localityOf(node: NodeInfo, workload: Workload | undefined): Locality {
  const { region = "", zone = "" } = workload?.labels ?? {};
  return region === "" && zone === "" ? { region: node.region, zone: node.zone } : { region, zone };
}

/** Undefined: where the client is makes no difference. */
export function localityPolicyOf(scope: Scope, backend: Backend): LocalityPolicy | undefined {
  const service = scope.reader.get("services", backend.service);
  const port = findPort(service, backend.port);
  if (port === undefined) return undefined;
  const { loadBalancing } = trafficFor(scope.reader, { service: backend.service, port, subset: backend.subset });
  return loadBalancing?.locality?.mode === "preferLocal" ? loadBalancing.locality : undefined;
}

/** Whether any policy of the mesh looks at where clients are. */
export function usesLocality(snapshot: MeshSnapshot): boolean {
  if (meshConfigIn(snapshot).defaults?.loadBalancing?.locality !== undefined) return true;
  for (const policies of snapshot.tables.trafficPolicies.values())
    if (policies.some(({ spec }) => spec.loadBalancing?.locality !== undefined)) return true;
  return false;
}

/** Localities as this client sees them. A client that does not know where it is sees them all alike. */
export function seenFrom(
  client: Locality,
  policy: LocalityPolicy,
  localities: readonly LocalityEndpoints[],
): readonly LocalityEndpoints[] {
  if (client.region === "" && client.zone === "") return localities;
  const shares = policy.distribute?.find(({ from }) => isIn(client, from))?.to;
  return shares === undefined ? byDistance(client, policy, localities) : byShares(shares, localities);
}

/** Own zone, own region, regions in the order of failover, all others: without gaps, which xDS does not allow. */
function byDistance(
  client: Locality,
  policy: LocalityPolicy,
  localities: readonly LocalityEndpoints[],
): readonly LocalityEndpoints[] {
  const order = policy.failover?.find(({ from }) => from === client.region)?.to ?? [];
  const distanceOf = ({ region, zone }: Locality): number => {
    if (region === client.region) return zone === client.zone ? 0 : 1;
    const at = order.indexOf(region);
    return 2 + (at < 0 ? order.length : at);
  };
  return withPriorities(localities, distanceOf);
}

/** A share of a region is divided among its zones by their endpoints. */
function byShares(
  shares: Readonly<Record<string, number>>,
  localities: readonly LocalityEndpoints[],
): readonly LocalityEndpoints[] {
  const keyOf = ({ region, zone }: Locality): string | undefined =>
    [`${region}/${zone}`, region].find((key) => (shares[key] ?? 0) > 0);
  const totals = new Map<string, number>();
  for (const locality of localities) {
    const key = keyOf(locality);
    if (key !== undefined) totals.set(key, (totals.get(key) ?? 0) + locality.weight);
  }
  const weighed = localities.map((locality): LocalityEndpoints => {
    const key = keyOf(locality);
    if (key === undefined) return locality;
    // Hundredths of percents, so that a share that is divided keeps its size.
    const weight = ((shares[key] ?? 0) * 10_000 * locality.weight) / (totals.get(key) ?? 1);
    return { ...locality, weight: Math.max(1, Math.round(weight)) };
  });
  return withPriorities(weighed, (locality) => (keyOf(locality) === undefined ? 1 : 0));
}

function withPriorities(
  localities: readonly LocalityEndpoints[],
  distanceOf: (locality: Locality) => number,
): readonly LocalityEndpoints[] {
  const distances = [...new Set(localities.map(distanceOf))].sort((left, right) => left - right);
  return localities
    .map((locality) => ({ ...locality, priority: distances.indexOf(distanceOf(locality)) }))
    .toSorted((left, right) => left.priority - right.priority);
}

/** `place` is a region or `region/zone`. */
function isIn({ region, zone }: Locality, place: string): boolean {
  return place === region || place === `${region}/${zone}`;
}
