// Whose an address is where documents of several namespaces name it: an endpoint that somebody writes must not speak for another
// namespace's pod or service.
import type { RegistryService, RegistryWorkload } from "../registry/registry.ts";
import { appPortOf, servesPort } from "./workload.ts";

/** The key of one port at one address. */
export function addressKey(address: string, port: number): string {
  return `${address} ${port}`;
}

/**
 * The namespace that each `addressKey` belongs to which a written endpoint of another namespace names too: that of the pod with the
 * address, then that of a service which a registry saw there, then the first by name.
 */
export function ownersOfClaimed(
  services: ReadonlyMap<string, RegistryService>,
  workloads: ReadonlyMap<string, RegistryWorkload>,
): ReadonlyMap<string, string> {
  const written = new Map<string, string>();
  const owners = new Map<string, string>();
  for (const service of services.values()) {
    if (service.isWritten !== true) continue;
    for (const key of endpointKeys(service)) {
      const first = written.get(key);
      if (first === undefined) written.set(key, service.namespace);
      else if (first !== service.namespace) owners.set(key, first < service.namespace ? first : service.namespace);
    }
  }
  if (written.size === 0) return owners;
  for (const service of services.values()) {
    if (service.isWritten === true) continue;
    const virtual = service.ports.flatMap(({ port }) => service.addresses.map((address) => addressKey(address, port)));
    for (const key of [...virtual, ...endpointKeys(service)])
      if (written.has(key) && written.get(key) !== service.namespace) owners.set(key, service.namespace);
  }
  const podOf = new Map<string, string>();
  for (const { namespace, addresses } of workloads.values()) for (const one of addresses) podOf.set(one, namespace);
  for (const [key, namespace] of written) {
    const pod = podOf.get(key.split(" ")[0] ?? "");
    if (pod !== undefined && pod !== namespace) owners.set(key, pod);
  }
  return owners;
}

function endpointKeys(service: RegistryService): readonly string[] {
  return service.endpoints.flatMap((endpoint) =>
    service.ports
      .filter((port) => servesPort(endpoint, port))
      .map((port) => addressKey(endpoint.address, appPortOf(endpoint, port))),
  );
}
