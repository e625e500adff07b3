// The HTTP_PROXY listener's table: every service of the mesh as a virtual host, by each of its names; whole, or host by host.
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import type { ServicePort } from "../registry/registry.ts";
import { serviceRoutes } from "./gateway-api/routes.ts";
import { emptyScope } from "./defaults.ts";
import { hostOverrides } from "./policy/policy-filters.ts";
import { claimedHosts, httpProxyName, ownFirst, ownNames } from "./names.ts";
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

/**
 * A name goes to its own port; without a port to the service's first that speaks HTTP. The names that a service has by where it is
 * are its own, whatever hosts others claim; of several that claim one, the client's namespace comes first, then the first by key.
 */
export function hostOwners(scope: Scope): readonly HostOwner[] {
  const { reader, clientNamespace } = scope;
  const keys = reader.get("names", "services") ?? [];
  const domains = new Map<string, string[]>();
  const taken = new Set<string>();
  const take = (key: string, hosts: readonly string[]): void => {
    for (const [index, port] of httpPorts(scope, key).entries())
      for (const name of hosts.flatMap((host) => [`${host}:${port.port}`, ...(index === 0 ? [host] : [])])) {
        if (taken.has(name.toLowerCase())) continue;
        taken.add(name.toLowerCase());
        const owner = `${key}:${port.port}`;
        const known = domains.get(owner);
        if (known === undefined) domains.set(owner, [name]);
        else known.push(name);
      }
  };
  for (const key of keys) take(key, ownNames(key, clientNamespace));
  for (const key of ownFirst(keys, clientNamespace)) {
    const hosts = reader.get("services", key)?.hosts ?? [];
    if (hosts.length > 0) take(key, claimedHosts(key, hosts, clientNamespace));
  }
  return keys.flatMap((key) =>
    httpPorts(scope, key).flatMap(({ port }) => {
      const own = domains.get(`${key}:${port}`);
      return own === undefined ? [] : [{ service: key, port, domains: own }];
    }),
  );
}

function httpPorts({ reader }: Scope, key: string): readonly ServicePort[] {
  return reader.get("services", key)?.ports.filter(({ protocol }) => protocol !== "TCP") ?? [];
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
    filterOverrides: hostOverrides(scope.reader, {
      service: owner.service,
      port,
      direction: "outbound",
      dialect: scope.dialect,
    }),
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
