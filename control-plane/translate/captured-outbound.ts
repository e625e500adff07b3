// What an application's captured connections to services and their instances come to; to all other addresses: captured-unknown.ts.
import type { SocketAddress } from "#config/model/address.ts";
import type { Listener } from "#config/model/listener.ts";
import type { RouteTable, VirtualHost } from "#config/model/route.ts";
import { addressKey } from "../mesh/address-owners.ts";
import { appPortOf, servesPort, type Membership } from "../mesh/workload.ts";
import { serviceKey, type RegistryEndpoint, type RegistryService, type ServicePort } from "../registry/registry.ts";
import { emptyScope } from "./defaults.ts";
import { addressesOf } from "./endpoints.ts";
import { routeTo } from "./gateway-api/routes.ts";
import { fallbackBackends } from "./policy/fallback.ts";
import { capturedName, directName, hostsOf, outboundName } from "./names.ts";
import type { BuiltListener } from "./outbound.ts";
import { outboundChains, usualListener, type Client, type OutboundChains } from "./outbound-chains.ts";
import { directBackend, wholeBackend, type Scope } from "./scope.ts";

/** For what goes to the service's virtual addresses; undefined: it has none. */
export function serviceListener(
  scope: Scope,
  client: Client,
  service: RegistryService,
  port: ServicePort,
): BuiltListener | undefined {
  const key = serviceKey(service);
  const name = outboundName(key, port.port);
  const addresses = service.addresses.map((address) => ({ address, port: port.port }));
  const backend = wholeBackend(key, port.port);
  const built = outboundChains(scope, client, key, port, backend, { kind: "rds", name }, namesOf(scope, service));
  const listener = listenerAt(capturedName(key, port.port), addresses, built.chains);
  if (listener === undefined) return undefined;
  const table = built.treatment === "opaque" ? undefined : name;
  return { listener, table, backends: built.backends, collector: built.collector };
}

/**
 * For what goes to the address of an instance: to that one, without a choice and without the routes of the service, which are for
 * the service's own addresses (GEP-1426); undefined: the service has no instances, or others speak for all of them.
 */
export function instancesListener(
  scope: Scope,
  client: Client,
  service: RegistryService,
  port: ServicePort,
): BuiltListener | undefined {
  const key = serviceKey(service);
  const addresses = service.endpoints
    .filter((endpoint) => servesPort(endpoint, port) && speaksFor(scope, service, port, endpoint))
    .flatMap((endpoint) =>
      addressesOf(scope, service, endpoint).map((address) => ({ address, port: appPortOf(endpoint, port) })),
    )
    .filter(({ address, port: appPort }) => {
      const owner = scope.reader.get("addressOwners", addressKey(address, appPort));
      return owner === undefined || owner === service.namespace;
    });
  const backend = directBackend(key, port.port);
  const host: VirtualHost = {
    ...emptyScope,
    name: `${key}:${port.port}`,
    domains: ["*"],
    routes: [routeTo(scope, service, port, backend)],
    retry: undefined,
  };
  const table: RouteTable = { ...emptyScope, name: backend.cluster, virtualHosts: [host], onDemand: false };
  const routes = { kind: "inline", table } as const;
  const { chains, collector } = outboundChains(scope, client, key, port, backend, routes, namesOf(scope, service));
  const listener = listenerAt(directName(key, port.port), addresses, chains);
  const backends = [backend, ...fallbackBackends(scope, { service: key, port, direction: "outbound" }, [])];
  return listener && { listener, table: undefined, backends, collector };
}

/**
 * Several services may have an instance's port: what is called by the instance's address is under the headless ones first, since
 * only their names lead there, then under the first by key.
 */
function speaksFor(
  { reader }: Scope,
  service: RegistryService,
  port: ServicePort,
  endpoint: RegistryEndpoint,
): boolean {
  const memberships = reader.get("memberships", `${service.namespace}/${endpoint.name}`) ?? [];
  const appPort = appPortOf(endpoint, port);
  const isThere = (at: RegistryEndpoint, other: ServicePort): boolean =>
    servesPort(at, other) && appPortOf(at, other) === appPort;
  let best: Membership | undefined;
  for (const one of memberships) {
    const isRival =
      one.endpoint.address === endpoint.address && one.service.ports.some((other) => isThere(one.endpoint, other));
    if (isRival && (best === undefined || rankOf(one.service) < rankOf(best.service))) best = one;
  }
  if (best !== undefined && serviceKey(best.service) !== serviceKey(service)) return false;
  return service.ports.find((other) => isThere(endpoint, other)) === port;
}

function namesOf({ clientNamespace }: Scope, service: RegistryService): readonly string[] {
  return hostsOf(serviceKey(service), service.hosts, clientNamespace);
}

function rankOf(service: RegistryService): string {
  return `${service.addresses.length === 0 ? 0 : 1} ${serviceKey(service)}`;
}

function listenerAt(
  name: string,
  addresses: readonly SocketAddress[],
  chains: OutboundChains["chains"],
): Listener | undefined {
  const [address, ...additionalAddresses] = addresses;
  if (address === undefined) return undefined;
  const more = additionalAddresses.length === 0 ? {} : { additionalAddresses };
  return { name, address, ...more, direction: "outbound", ...usualListener, bindToPort: false, ...chains };
}
