// A Service with its EndpointSlices and Pods becomes a service of the registry. Pure.
import type { Labels } from "#config/model/route.ts";
import type { RegistryEndpoint, RegistryService, ServicePort } from "../registry.ts";
import { labelsOf, type PodRecord } from "./pod.ts";
import type { ServiceRecord, SliceEndpoint, SliceRecord } from "./service.ts";

/** What else is known when a service is translated. */
export interface ClusterView {
  /** By `namespace/name`. */
  pod(key: string): PodRecord | undefined;
  /** The region and zone that a node's labels say; empty where nothing is known. */
  localityOf(node: string): Labels;
  /** What names of Services end with: default cluster.local. */
  readonly clusterDomain?: string | undefined;
}

/** Slices in any order: the result is the same in every control plane. */
export function translateService(
  service: ServiceRecord,
  slices: readonly SliceRecord[],
  view: ClusterView,
): RegistryService {
  const { namespace, name, addresses, ports } = service;
  const preferred = (slice: SliceRecord): number => (slice.isIpv6 === service.prefersIpv6 ? 0 : 1);
  const ordered = slices.toSorted(
    (left, right) => preferred(left) - preferred(right) || (left.name < right.name ? -1 : 1),
  );
  // Names that end with cluster.local are known anyway.
  const ownDomain = view.clusterDomain === "cluster.local" ? undefined : view.clusterDomain;
  const endpoints = new Map<string, RegistryEndpoint>();
  const pending = new Map<string, RegistryEndpoint>();
  for (const slice of ordered)
    for (const from of slice.endpoints) {
      const endpoint = translateEndpoint(service, slice, from, view);
      if (endpoint === undefined) continue;
      if (!from.isReady && !from.isTerminating && !service.publishesNotReady) {
        const other = pending.get(endpoint.name);
        pending.set(endpoint.name, other === undefined ? endpoint : withPortsOf(other, endpoint));
        continue;
      }
      const known = endpoints.get(endpoint.name);
      // A pod of two families is one instance, by the service's first family; while it moves between slices it may be in two.
      if (known === undefined || (known.health === "draining" && known.address === endpoint.address))
        endpoints.set(endpoint.name, endpoint);
      else if (known.address === endpoint.address) endpoints.set(endpoint.name, withPortsOf(known, endpoint));
    }
  const waiting = byName([...pending.values()].filter((endpoint) => !endpoints.has(endpoint.name)));
  return {
    namespace,
    name,
    hosts: ownDomain === undefined ? [] : [`${name}.${namespace}.svc.${ownDomain}`],
    addresses,
    ports,
    endpoints: byName(endpoints.values()),
    ...(waiting.length === 0 ? {} : { pending: waiting }),
    origin: `kubernetes Service ${namespace}/${name}`,
  };
}

function byName(endpoints: Iterable<RegistryEndpoint>): readonly RegistryEndpoint[] {
  return [...endpoints].toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

function translateEndpoint(
  service: ServiceRecord,
  slice: SliceRecord,
  endpoint: SliceEndpoint,
  view: ClusterView,
): RegistryEndpoint | undefined {
  const { address, zone, node } = endpoint;
  const isDraining = endpoint.isTerminating;
  const health = isDraining && !service.publishesNotReady ? "draining" : "unknown";
  const locality = { ...view.localityOf(node), ...(zone === "" ? {} : { zone }) };
  const common = { address, ...portsOf(service.ports, slice), health, isSuspect: false } as const;
  if (endpoint.pod === undefined) {
    // Somebody's own slice: a database outside the cluster.
    const name = `${service.name}-${address.replaceAll(/[.:]/g, "-")}`;
    return { ...common, name, labels: locality, weight: 1, serviceAccount: "default", sidecar: undefined };
  }
  const { name, uid } = endpoint.pod;
  const pod = view.pod(`${service.namespace}/${name}`);
  // Until we know the pod itself we do not know whether it has a proxy, and would call it in plaintext: it waits for its word.
  // A StatefulSet's next pod has the name of the one before, and another uid.
  if (pod === undefined || (uid !== "" && pod.uid !== "" && uid !== pod.uid) || pod.isOver) return undefined;
  const { weight, serviceAccount, sidecar } = pod;
  return { ...common, name, labels: labelsOf(pod, locality), weight, serviceAccount, sidecar };
}

/**
 * Where the pods of this slice listen: a named target port may differ from slice to slice, and pods that do not name it are no
 * endpoints of that port.
 */
function portsOf(ports: readonly ServicePort[], slice: SliceRecord): Pick<RegistryEndpoint, "ports" | "lacks"> {
  const found: Record<string, number> = {};
  const lacks: string[] = [];
  for (const { name, port } of ports) {
    const target = slice.ports[name] ?? (name === String(port) ? slice.ports[""] : undefined);
    if (target === undefined) lacks.push(name);
    else if (target !== port) found[name] = target;
  }
  return { ports: found, ...(lacks.length === 0 ? {} : { lacks }) };
}

/** The same instance in two slices: it has the ports of both. */
function withPortsOf(known: RegistryEndpoint, other: RegistryEndpoint): RegistryEndpoint {
  const { lacks = [], ...rest } = known;
  const both = lacks.filter((name) => other.lacks?.includes(name) === true);
  return { ...rest, ports: { ...other.ports, ...known.ports }, ...(both.length === 0 ? {} : { lacks: both }) };
}
