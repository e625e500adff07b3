// The instances behind one cluster: where the application listens, and for mesh peers where its proxy does.
import type { ClusterLoadAssignment, Endpoint, LocalityEndpoints, MeshHop } from "#config/model/endpoint.ts";
import { appPortOf, meshPortOf, servesPort, spiffeId } from "../mesh/workload.ts";
import type { RegistryEndpoint, RegistryService, ServicePort } from "../registry/registry.ts";
import { serviceKey } from "../registry/registry.ts";
import { localityPolicyOf, seenFrom, type Locality } from "./locality.ts";
import { outboundName } from "./names.ts";
import { hasLabels, mtlsMode } from "./policy/peer-authentication.ts";
import { trafficFor } from "./policy/traffic.ts";
import { findPort, meshConfigOf, type Backend, type Scope } from "./scope.ts";

/** Chooses mutual TLS for an endpoint with a mesh hop (`Cluster.tlsMatches`). */
export const meshSocketLabels = { tlsMode: "heddle" } as const;

/** Those of a service, shared by all clusters but those of subsets. Priorities start at 0, localities are always set and weigh what their endpoints do (gRPC refuses anything else). `client`: for whom, where that makes a difference. */
export function assignmentOf(scope: Scope, backend: Backend, client?: Locality): ClusterLoadAssignment {
  const service = scope.reader.get("services", backend.service);
  const port = findPort(service, backend.port);
  const localities = new Map<string, Endpoint[]>();
  if (service !== undefined && port !== undefined) {
    const selected = selectEndpoints(scope, service, backend).filter((endpoint) => servesPort(endpoint, port));
    const isApart = backend.isDirect && assignmentName(scope, backend) === backend.cluster;
    const traffic = trafficFor(scope.reader, { service: backend.service, port, subset: backend.subset });
    const healthCheckPort = traffic.healthCheck?.port;
    for (const endpoint of isApart ? selected.flatMap((one) => atEachAddress(scope, service, one)) : selected) {
      const key = `${endpoint.labels["region"] ?? ""}\n${endpoint.labels["zone"] ?? ""}`;
      const list = localities.get(key) ?? [];
      list.push(endpointOf(scope, service, port, endpoint, healthCheckPort));
      localities.set(key, list);
    }
  }
  const all = [...localities].map(([key, endpoints]): LocalityEndpoints => {
    const [region = "", zone = ""] = key.split("\n");
    const weight = endpoints.reduce((sum, endpoint) => sum + endpoint.weight, 0);
    return { region, zone, subZone: "", priority: 0, weight, endpoints };
  });
  const policy = client && localityPolicyOf(scope, backend);
  return {
    cluster: assignmentName(scope, backend),
    overprovisioningFactor: 140,
    localities: client === undefined || policy === undefined ? all : seenFrom(client, policy, all),
  };
}

/**
 * Direct connections are to those endpoints that all others choose among, and share them. An instance of two families is one of
 * them by its first address alone, so those of such instances are apart.
 */
export function assignmentName(scope: Scope, backend: Backend): string {
  if (!backend.isDirect) return backend.cluster;
  const service = scope.reader.get("services", backend.service);
  const hasMore = service?.endpoints.some((endpoint) => addressesOf(scope, service, endpoint).length > 1) === true;
  return hasMore ? backend.cluster : outboundName(backend.service, backend.port);
}

/** All addresses of an instance, that of the endpoint first. */
export function addressesOf(
  { reader }: Scope,
  { namespace }: RegistryService,
  { name, address }: RegistryEndpoint,
): readonly string[] {
  const addresses = reader.get("workloads", `${namespace}/${name}`)?.addresses ?? [];
  return addresses.includes(address) ? [address, ...addresses.filter((other) => other !== address)] : [address];
}

function atEachAddress(
  scope: Scope,
  service: RegistryService,
  endpoint: RegistryEndpoint,
): readonly RegistryEndpoint[] {
  return addressesOf(scope, service, endpoint).map((address) => ({ ...endpoint, address }));
}

/** The endpoints of a backend: all of the service's, or those of its subset. */
export function selectEndpoints(scope: Scope, service: RegistryService, backend: Backend): readonly RegistryEndpoint[] {
  if (backend.subset === undefined) return service.endpoints;
  const subset = scope.reader.get("subsets", `${service.namespace}/${backend.subset}`);
  if (subset === undefined) return [];
  return service.endpoints.filter((endpoint) => hasLabels(endpoint.labels, subset.spec.labels));
}

/** `healthCheckPort` is for those without a hop: a peer takes calls of the mesh at its proxy's port alone. */
function endpointOf(
  scope: Scope,
  service: RegistryService,
  port: ServicePort,
  endpoint: RegistryEndpoint,
  healthCheckPort: number | undefined,
): Endpoint {
  const mesh = meshHopOf(scope, service, port, endpoint);
  return {
    address: endpoint.address,
    port: appPortOf(endpoint, port),
    hostname: `${endpoint.name}.${service.namespace}`,
    health: endpoint.health,
    weight: endpoint.weight,
    labels: endpoint.labels,
    transportSocket: mesh.kind === "peer" ? meshSocketLabels : {},
    mesh,
    ...(mesh.kind === "peer" || healthCheckPort === undefined ? {} : { healthCheckPort }),
  };
}

/** A peer only for Heddle's own proxies, where it listens for the mesh, and where its policy takes mutual TLS. */
export function meshHopOf(
  scope: Scope,
  service: RegistryService,
  port: ServicePort,
  endpoint: RegistryEndpoint,
): MeshHop {
  const inboundPort = meshPortOf(endpoint, port);
  if (inboundPort === undefined || scope.dialect !== "heddle") return { kind: "none" };
  if (mtlsMode(scope.reader, serviceKey(service), port, endpoint.labels) === "DISABLE") return { kind: "none" };
  const { trustDomain } = meshConfigOf(scope.reader);
  return {
    kind: "peer",
    inboundAddress: endpoint.address,
    inboundPort,
    identity: spiffeId(trustDomain, service.namespace, endpoint.serviceAccount),
    version: "1",
  };
}
