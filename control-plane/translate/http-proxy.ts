// The HTTP_PROXY listener's table: every service of the mesh as a virtual host, by each of its names; whole, or host by host.
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import type { ServicePort } from "../registry/registry.ts";
import { serviceRoutes } from "./gateway-api/routes.ts";
import { emptyScope } from "./defaults.ts";
import { hostOverrides } from "./policy/policy-filters.ts";
import { hostsOf, httpProxyName } from "./names.ts";
import type { BuiltTable } from "./outbound.ts";
import { findPort, type Backend, type Scope } from "./scope.ts";

/** The names of one port of one service. */
export interface HostOwner {
  /** `namespace/name`. */
  readonly service: string;
  readonly port: number;
  readonly domains: readonly string[];
}

export interface BuiltHost {
  readonly host: VirtualHost;
  readonly backends: readonly Backend[];
}

/** For proxies that ask for each host at its first request. */
export const onDemandTable: RouteTable = { ...emptyScope, name: httpProxyName, virtualHosts: [], onDemand: true };

/** A name goes to its own port; without a port to the service's first that speaks HTTP. Names of two services: the first by key. */
export function hostOwners(scope: Scope): readonly HostOwner[] {
  const taken = new Set<string>();
  const owners: HostOwner[] = [];
  for (const key of scope.reader.get("names", "services") ?? []) {
    const service = scope.reader.get("services", key);
    if (service === undefined) continue;
    const hosts = hostsOf(key, service.hosts, scope.clientNamespace);
    const ports = service.ports.filter((port) => port.protocol !== "TCP");
    for (const [index, port] of ports.entries()) {
      const names = hosts.flatMap((host) => [`${host}:${port.port}`, ...(index === 0 ? [host] : [])]);
      const domains = names.filter((name) => !taken.has(name.toLowerCase()));
      if (domains.length === 0) continue;
      for (const name of domains) taken.add(name.toLowerCase());
      owners.push({ service: key, port: port.port, domains });
    }
  }
  return owners;
}

/** Who has a name, by the name in lower case. */
export function ownersByHost(scope: Scope): ReadonlyMap<string, HostOwner> {
  return new Map(
    hostOwners(scope).flatMap((owner) => owner.domains.map((domain) => [domain.toLowerCase(), owner] as const)),
  );
}

/** undefined: the service or its port is gone. */
export function proxyHost(scope: Scope, owner: HostOwner): BuiltHost | undefined {
  const service = scope.reader.get("services", owner.service);
  const port: ServicePort | undefined = findPort(service, owner.port);
  if (service === undefined || port === undefined) return undefined;
  const { routes, backends } = serviceRoutes(scope, service, port);
  const host: VirtualHost = {
    ...emptyScope,
    filterOverrides: hostOverrides(scope.reader, { service: owner.service, port, direction: "outbound" }),
    name: `${owner.service}:${port.port}`,
    domains: owner.domains,
    routes,
    retry: undefined,
  };
  return { host, backends };
}

/** The table with every host in it. */
export function httpProxyTable(scope: Scope): BuiltTable {
  const built = hostOwners(scope).flatMap((owner) => proxyHost(scope, owner) ?? []);
  const backends = new Map(built.flatMap((one) => one.backends.map((backend) => [backend.cluster, backend] as const)));
  const virtualHosts = built.map(({ host }) => host);
  return {
    table: { ...emptyScope, name: httpProxyName, virtualHosts, onDemand: false },
    backends: [...backends.values()],
  };
}
