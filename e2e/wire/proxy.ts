// The proxy as a process, with listeners and clusters of a test's own, on ports that the system chooses.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

/** `HEDDLE_MAIN` names another one: the bundle, or another tree to compare with. */
const MAIN = process.env["HEDDLE_MAIN"] ?? path.join(import.meta.dirname, "..", "..", "cli", "main.ts");

export interface ProxyConfig {
  readonly listeners: readonly unknown[];
  readonly clusters: readonly unknown[];
}

interface Said {
  readonly message?: string;
  readonly admin?: number;
  readonly listeners?: Readonly<Record<string, number>>;
}

export class Proxy {
  readonly pid: number;
  readonly adminPort: number;
  readonly #child: ChildProcess;
  readonly #ports: Readonly<Record<string, number>>;
  readonly #folder: string;

  private constructor(child: ChildProcess, pid: number, said: Said, folder: string) {
    this.#child = child;
    this.pid = pid;
    this.adminPort = said.admin ?? 0;
    this.#ports = said.listeners ?? {};
    this.#folder = folder;
  }

  /** Resolves when the proxy says that it is ready; throws with what it said when it ends before. */
  static async start(config: ProxyConfig): Promise<Proxy> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-e2e-"));
    const file = path.join(folder, "bootstrap.json");
    fs.writeFileSync(file, JSON.stringify(makeBootstrap(config)));
    const child = spawn(process.execPath, [MAIN, "proxy", "-c", file, "--log-level", "warn"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-20_000)));
    const lines = createInterface({ input: child.stdout });
    const ready = await new Promise<Said>((resolve, reject) => {
      lines.on("line", (line) => {
        const said = JSON.parse(line) as Said; // as: cli prints it
        if (said.message === "ready") resolve(said);
      });
      child.once("exit", (code) => {
        fs.rmSync(folder, { recursive: true, force: true });
        reject(new Error(`heddle proxy ended with ${code}: ${complaints}`));
      });
    });
    if (child.pid === undefined) throw new Error("heddle proxy has no process id");
    return new Proxy(child, child.pid, ready, folder);
  }

  port(listener: string): number {
    const port = this.#ports[listener];
    if (port === undefined)
      throw new Error(`the proxy has no listener ${listener}: ${Object.keys(this.#ports).join()}`);
    return port;
  }

  /** Resident memory in MiB. */
  get rssMib(): number {
    const status = fs.readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? "0") / 1024;
  }

  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  /** Resolves with the exit code. */
  async ended(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    return this.#child.exitCode;
  }

  /** Ends it at once; for the end of a test. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended();
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

function makeBootstrap({ listeners, clusters }: ProxyConfig): unknown {
  return {
    node: {
      id: "e2e",
      cluster: "e2e",
      metadata: { heddle: { metrics: { address: "127.0.0.1", port: 0 }, drain_time_ms: 10_000 } },
    },
    admin: { address: address(0) },
    static_resources: { listeners, clusters },
  };
}

const EXTENSIONS = "type.googleapis.com/envoy.extensions.";

function address(port: number): unknown {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}

export type CodecType = "AUTO" | "HTTP1" | "HTTP2";

export interface HttpListener {
  readonly name: string;
  readonly address: unknown;
  readonly filter_chains: readonly { readonly filters: readonly unknown[]; readonly transport_socket?: unknown }[];
}

/** A listener that sends every request to one cluster; with AUTO its first bytes say which HTTP it is. */
export function httpListener(
  name: string,
  target: string,
  codec: CodecType = "AUTO",
  tls?: TlsFiles,
  manager: object = {},
): HttpListener {
  const chain = { filters: [httpFilter(name, target, codec, manager)], ...(tls === undefined ? {} : tlsSocket(tls)) };
  return { name, address: address(0), filter_chains: [chain] };
}

export interface TlsFiles {
  readonly certificatePem: string;
  readonly keyPem: string;
}

function tlsSocket({ certificatePem, keyPem }: TlsFiles): object {
  return {
    transport_socket: {
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": `${EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext`,
        common_tls_context: {
          alpn_protocols: ["h2", "http/1.1"],
          tls_certificates: [
            { certificate_chain: { inline_string: certificatePem }, private_key: { inline_string: keyPem } },
          ],
        },
      },
    },
  };
}

/** `manager` adds to the connection manager's fields or replaces them. */
export function httpFilter(name: string, target: string, codec: CodecType = "AUTO", manager: object = {}): unknown {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: name,
      codec_type: codec,
      http_protocol_options: { enable_trailers: true, accept_http_10: true },
      http2_protocol_options: { allow_connect: true },
      upgrade_configs: [{ upgrade_type: "websocket" }],
      route_config: {
        name,
        virtual_hosts: [
          {
            name: "all",
            domains: ["*"],
            routes: [{ match: { prefix: "/" }, route: { cluster: target, timeout: "0s" } }],
          },
        ],
      },
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: { "@type": `${EXTENSIONS}filters.http.router.v3.Router` },
        },
      ],
      ...manager,
    },
  };
}

/** A listener of opaque bytes. */
export function tcpListener(name: string, target: string): unknown {
  return { name, address: address(0), filter_chains: [{ filters: [tcpFilter(name, target)] }] };
}

export function tcpFilter(name: string, target: string): unknown {
  return {
    name: "envoy.filters.network.tcp_proxy",
    typed_config: {
      "@type": `${EXTENSIONS}filters.network.tcp_proxy.v3.TcpProxy`,
      stat_prefix: name,
      cluster: target,
    },
  };
}

export interface Cluster {
  readonly name: string;
  readonly load_assignment: {
    readonly cluster_name: string;
    readonly endpoints: readonly { readonly lb_endpoints: readonly object[] }[];
  };
}

/** One endpoint on loopback. */
export function cluster(name: string, port: number, protocol: "http1" | "http2" = "http1"): Cluster {
  const options =
    protocol === "http1" ? { http_protocol_options: { enable_trailers: true } } : { http2_protocol_options: {} };
  const all = {
    name,
    type: "STATIC",
    connect_timeout: "2s",
    circuit_breakers: { thresholds: [{ max_connections: 20_000, max_pending_requests: 20_000, max_requests: 20_000 }] },
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${EXTENSIONS}upstreams.http.v3.HttpProtocolOptions`,
        explicit_http_config: options,
      },
    },
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
  };
  return all;
}
