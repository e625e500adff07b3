// A data plane on real sockets, made of a bootstrap as a user writes it.
import { once } from "node:events";
import http from "node:http";
import net from "node:net";

import { loadBootstrap } from "#config/bootstrap/load-bootstrap.ts";
import type { Bootstrap } from "#config/model/bootstrap.ts";
import { knownFilterTypes } from "#filters/standard.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import { loadOriginalDestination } from "#proxy/listener/original-destination.ts";
import { SharedCells } from "#proxy/resilience/shared-cells.ts";

import { DataPlane } from "../data-plane.ts";
import { diffSnapshots, EMPTY_SNAPSHOT, staticSnapshot } from "../snapshot.ts";

export function parseBootstrap(text: string): Bootstrap {
  return loadBootstrap(text, "test.yaml", {
    knownFilters: knownFilterTypes,
    allowUnsupported: new Set(),
    readFile: () => Buffer.alloc(0),
    readVariable: () => undefined,
  });
}

/** A plane that serves; change it with `apply`. */
export class TestPlane {
  readonly plane: DataPlane;
  #current = EMPTY_SNAPSHOT;

  constructor(drainTimeMs = 5000) {
    this.plane = new DataPlane({
      clock: systemClock,
      random: systemRandom,
      log: silentLog,
      cells: new SharedCells(),
      acceptMode: "handle",
      proxyName: "test",
      localCluster: "test",
      reusePort: false,
      loadOriginalDestination,
      onSpan: () => undefined,
      drainTimeMs,
      ticketSecret: Buffer.alloc(32, 1),
    });
  }

  /** Puts the static resources of a bootstrap in the place of what was there; throws what could not be applied. */
  async apply(bootstrap: string): Promise<void> {
    const wanted = staticSnapshot(parseBootstrap(bootstrap));
    const failures = await this.plane.apply(diffSnapshots(this.#current, wanted));
    if (failures.length > 0) throw new Error(failures.map(({ message }) => message).join("; "));
    this.#current = wanted;
  }

  port(listener: string): number {
    return this.plane.ports.get(listener) ?? 0;
  }
}

/** An HTTP server that answers with its name; `close` ends it at once. */
export async function serveHttp(
  answer: (request: http.IncomingMessage, response: http.ServerResponse) => void,
): Promise<{ readonly port: number; readonly close: () => void }> {
  const server = http.createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    server.closeAllConnections();
  };
  return { port: portOf(server), close };
}

/** A TCP server that sends back what comes. */
export async function serveEcho(): Promise<{ readonly port: number; readonly close: () => void }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: portOf(server), close };
}

function portOf(server: net.Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

const SOCKET = (port: number): string => `{ socket_address: { address: 127.0.0.1, port_value: ${port} } }`;

export function clusterYaml(name: string, ...ports: readonly number[]): string {
  const endpoints = ports.map((port) => `{ endpoint: { address: ${SOCKET(port)} } }`);
  return `
  - name: ${name}
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: ${name}
      endpoints: [{ lb_endpoints: [${endpoints.join(", ")}] }]`;
}

/** `settings`: more lines of the HTTP connection manager, each beginning with ten spaces. */
export function httpListenerYaml(name: string, cluster: string, settings = ""): string {
  return `
  - name: ${name}
    address: ${SOCKET(0)}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ${name}
          codec_type: AUTO
          route_config:
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: ${cluster} } }] }]
${settings}
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }`;
}

/** `settings`: more lines of the TCP proxy, each beginning with ten spaces, its cluster among them. */
export function tcpListenerYaml(name: string, settings: string): string {
  return `
  - name: ${name}
    address: ${SOCKET(0)}
    filter_chains:
    - filters:
      - name: tcp
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: ${name}
${settings}`;
}

export function bootstrapYaml(listeners: readonly string[], clusters: readonly string[]): string {
  return `
node: { id: test, cluster: test }
static_resources:
  listeners: ${listeners.length === 0 ? "[]" : ""}${listeners.join("")}
  clusters: ${clusters.length === 0 ? "[]" : ""}${clusters.join("")}
`;
}
