// The table of the HTTP_PROXY listener: every service of the mesh as a virtual host, by each of its names.
import type { VirtualHost } from "#config/model/route.ts";
import { serviceRoutes } from "./gateway-api/routes.ts";
import { emptyScope } from "./defaults.ts";
import { limitsOfPort, rateLimitOverride } from "./policy/rate-limit.ts";
import { hostsOf, httpProxyName } from "./names.ts";
import type { BuiltTable } from "./outbound.ts";
import type { Backend, Scope } from "./scope.ts";

/** A name goes to its own port; without a port to the service's first that speaks HTTP. Names of two services: the first by key. */
export function httpProxyTable(scope: Scope): BuiltTable {
  const taken = new Set<string>();
  const backends = new Map<string, Backend>();
  const virtualHosts: VirtualHost[] = [];
  for (const key of scope.reader.get("names", "services") ?? []) {
    const service = scope.reader.get("services", key);
    if (service === undefined) continue;
    const hosts = hostsOf(key, service.hosts, scope.clientNamespace);
    const ports = service.ports.filter((port) => port.protocol !== "TCP");
    for (const [index, port] of ports.entries()) {
      const names = hosts.flatMap((host) => [`${host}:${port.port}`, ...(index === 0 ? [host] : [])]);
      const domains = names.filter((name) => !taken.has(name));
      if (domains.length === 0) continue;
      for (const name of domains) taken.add(name);
      const built = serviceRoutes(scope, service, port);
      for (const backend of built.backends) backends.set(backend.cluster, backend);
      virtualHosts.push({
        ...emptyScope,
        filterOverrides: rateLimitOverride(limitsOfPort(scope.reader, key, port, "outbound"), []),
        name: `${key}:${port.port}`,
        domains,
        routes: built.routes,
        retry: undefined,
      });
    }
  }
  return {
    table: { ...emptyScope, name: httpProxyName, virtualHosts, onDemand: false },
    backends: [...backends.values()],
  };
}
