// Listeners for gRPC clients that speak xDS themselves: named as the client's target, with nothing but a table of routes.
import type { Listener } from "#config/model/listener.ts";
import type { RegistryService, ServicePort } from "../registry/registry.ts";
import { anyConnection, listenerBufferBytes, managerDefaults } from "./defaults.ts";
import { claimedHosts, outboundName, ownFirst, ownNames } from "./names.ts";

/**
 * One for each name of each port, and for a service's first HTTP port also without the port. Names that services have by where they
 * are cannot be claimed by others, as for HTTP_PROXY (http-proxy.ts).
 */
export function grpcListeners(
  services: ReadonlyMap<string, RegistryService>,
  clientNamespace: string,
): Iterable<Listener> {
  const listeners = new Map<string, Listener>();
  const add = (key: string, hosts: readonly string[]): void => {
    const service = services.get(key);
    for (const port of service?.ports ?? []) {
      if (service === undefined || port.protocol === "TCP") continue;
      for (const listener of listenersOf(key, service, port, hosts))
        if (!listeners.has(listener.name)) listeners.set(listener.name, listener);
    }
  };
  for (const key of services.keys()) add(key, ownNames(key, clientNamespace));
  for (const key of ownFirst([...services.keys()], clientNamespace))
    add(key, claimedHosts(key, services.get(key)?.hosts ?? [], clientNamespace));
  return listeners.values();
}

/** gRPC refuses filters that it does not know. */
function listenersOf(
  key: string,
  service: RegistryService,
  port: ServicePort,
  names: readonly string[],
): readonly Listener[] {
  const isFirst = service.ports.find((one) => one.protocol !== "TCP") === port;
  const table = outboundName(key, port.port);
  return names
    .flatMap((host) => [`${host}:${port.port}`, ...(isFirst ? [host] : [])])
    .map((name) => ({
      name,
      address: { address: "127.0.0.1", port: 0 },
      direction: "outbound",
      isApi: true,
      bindToPort: false,
      useOriginalDst: false,
      inspectTls: false,
      inspectHttp: false,
      inspectTimeoutMs: 0,
      continueOnInspectTimeout: false,
      filterChains: [
        {
          name: "",
          match: anyConnection,
          tls: undefined,
          handshakeTimeoutMs: 0,
          network: {
            kind: "http",
            http: {
              ...managerDefaults,
              statPrefix: table,
              routes: { kind: "rds", name: table },
              filters: [],
              accessLogs: [],
              tracing: undefined,
              forwardClientCert: "sanitize",
            },
          },
        },
      ],
      defaultFilterChain: undefined,
      perConnectionBufferLimitBytes: listenerBufferBytes,
      accessLogs: [],
    }));
}
