// Listeners for gRPC clients that speak xDS themselves: named as the client's target, with nothing but a table of routes.
import type { Listener } from "#config/model/listener.ts";
import type { RegistryService, ServicePort } from "../registry/registry.ts";
import { anyConnection, listenerBufferBytes, managerDefaults } from "./defaults.ts";
import { hostsOf, outboundName } from "./names.ts";

/** One for each name, with port; the service's first HTTP port also without. gRPC refuses filters that it does not know. */
export function grpcListeners(
  key: string,
  service: RegistryService,
  port: ServicePort,
  clientNamespace: string,
): readonly Listener[] {
  const isFirst = service.ports.find((one) => one.protocol !== "TCP") === port;
  const table = outboundName(key, port.port);
  return hostsOf(key, service.hosts, clientNamespace)
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
