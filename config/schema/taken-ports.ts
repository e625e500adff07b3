// Finds ports that two listeners, or a listener and an application, of one address are to have.

import type { ConfigError } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { problemAt } from "#config/load/load.ts";
import { resourceName, type Resource } from "./kinds.ts";
import type { ServiceEntry, ServiceEntryEndpoint } from "./service-entry.ts";

const application = "the application";

interface PortUse {
  readonly entry: ServiceEntry;
  readonly path: JsonPath;
  readonly workload: string;
  readonly what: string;
}

/** Errors for ports that are to be bound twice at one address. */
export function findTakenPorts(resources: readonly Resource[]): ConfigError[] {
  const uses = new Map<string, PortUse>();
  const problems: ConfigError[] = [];
  for (const entry of resources) {
    if (entry.kind !== "ServiceEntry") continue;
    for (const [at, endpoint] of entry.spec.endpoints.entries()) {
      const workload = `${entry.metadata.namespace}/${endpoint.name}`;
      for (const { port, path, what } of portsOf(entry, endpoint)) {
        const use: PortUse = { entry, path: ["spec", "endpoints", at, ...path], workload, what };
        const key = `${endpoint.address} ${port}`;
        const earlier = uses.get(key);
        if (earlier === undefined) uses.set(key, use);
        // Two names for one application are fine; two listeners of one address are not.
        else if (what !== earlier.what || (what !== application && workload !== earlier.workload))
          problems.push(taken(port, use, earlier, endpoint.address));
      }
    }
  }
  return problems;
}

function taken(port: number, use: PortUse, earlier: PortUse, address: string): ConfigError {
  const { source } = earlier.entry;
  const where = `${source.file}:${source.locate(earlier.path).line}`;
  const message = `Cannot use ${resourceName(use.entry)}: port ${port} of ${address} for ${use.what} of "${use.workload}" is taken by ${earlier.what} of "${earlier.workload}" (${where})`;
  return problemAt(use.entry.source, use.path, {
    code: "HDL_CONFIG_PORT_TAKEN",
    message,
    hint: "give one of them another port",
  });
}

/** Every port that an endpoint binds at its address. Only machines are told apart by address: loopback listeners count to it too. */
function portsOf(
  entry: ServiceEntry,
  endpoint: ServiceEntryEndpoint,
): { port: number; path: JsonPath; what: string }[] {
  const { sidecar } = endpoint;
  const ports: { port: number; path: JsonPath; what: string }[] = [];
  for (const { name, port } of entry.spec.ports) {
    const own = endpoint.ports?.[name];
    ports.push({ port: own ?? port, path: own === undefined ? ["name"] : ["ports", name], what: application });
  }
  for (const [name, port] of Object.entries(sidecar?.inbound ?? {}))
    ports.push({
      port,
      path: ["sidecar", "inbound", name],
      what: `the inbound listener of ${entry.metadata.name}:${name}`,
    });
  for (const [at, { service, port, listen }] of (sidecar?.outbound ?? []).entries())
    ports.push({
      port: listen,
      path: ["sidecar", "outbound", at, "listen"],
      what: `the outbound listener for ${service}:${port}`,
    });
  for (const field of ["httpProxyPort", "adminPort", "metricsPort"] as const) {
    const port = sidecar?.[field];
    if (port !== undefined) ports.push({ port, path: ["sidecar", field], what: field });
  }
  return ports;
}
