// The workloads of the file registry: one endpoint name in several ServiceEntries of a namespace is one workload.

import type { Resource } from "./kinds.ts";
import type { ServiceEntry, ServiceEntryEndpoint, ServiceEntrySidecar } from "./service-entry.ts";

/** One workload with all that its ServiceEntries say of it. */
export interface Workload {
  readonly namespace: string;
  readonly name: string;
  readonly address: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The services that it serves, each with the endpoint as written there. */
  readonly services: readonly { readonly entry: ServiceEntry; readonly endpoint: ServiceEntryEndpoint }[];
  /** Settings of its sidecar, merged from all entries: outbound listeners together, ports as first given. Absent: it has none. */
  readonly sidecar?: Omit<ServiceEntrySidecar, "inbound">;
}

/** The workloads of all ServiceEntries by node id (`<namespace>/<endpoint name>`); the first entry gives address, account and labels. */
export function workloadsOf(resources: readonly Resource[]): ReadonlyMap<string, Workload> {
  const workloads = new Map<string, Workload>();
  for (const entry of resources) {
    if (entry.kind !== "ServiceEntry") continue;
    const { namespace } = entry.metadata;
    for (const endpoint of entry.spec.endpoints) {
      const { name, address, serviceAccount, labels } = endpoint;
      const id = `${namespace}/${name}`;
      const known = workloads.get(id);
      const services = [...(known?.services ?? []), { entry, endpoint }];
      const sidecar = mergeSidecars([known?.sidecar, endpoint.sidecar]);
      const workload: Workload = { ...(known ?? { namespace, name, address, serviceAccount, labels }), services };
      workloads.set(id, sidecar === undefined ? workload : { ...workload, sidecar });
    }
  }
  return workloads;
}

/** Merges what several entries say of one sidecar. The same outbound listener said twice is one. Inbound ports stay with their service. */
export function mergeSidecars(
  sidecars: readonly (Omit<ServiceEntrySidecar, "inbound"> | undefined)[],
): Omit<ServiceEntrySidecar, "inbound"> | undefined {
  const given = sidecars.filter((sidecar) => sidecar !== undefined);
  if (given.length === 0) return undefined;
  const outbound = new Map<string, NonNullable<ServiceEntrySidecar["outbound"]>[number]>();
  for (const sidecar of given)
    for (const listener of sidecar.outbound ?? []) outbound.set(JSON.stringify(listener), listener);
  const first = (field: "httpProxyPort" | "adminPort" | "metricsPort") => {
    const port = given.find((sidecar) => sidecar[field] !== undefined)?.[field];
    return port === undefined ? {} : { [field]: port };
  };
  const listeners = outbound.size === 0 ? {} : { outbound: [...outbound.values()] };
  return { ...listeners, ...first("httpProxyPort"), ...first("adminPort"), ...first("metricsPort") };
}
