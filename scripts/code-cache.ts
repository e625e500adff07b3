// For the build: runs the new bundles once, so that V8's compiled code of a start lies beside them (cli/code-cache.ts reads it).
import { spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { codeCacheOf } from "../cli/code-cache.ts";

const TYPE = "type.googleapis.com/envoy.extensions";
const LIMIT_MS = 20_000;

/** Fills the cache of the bundles in `folder`; answers with its size in bytes. */
export async function makeCodeCache(folder: string): Promise<number> {
  const cache = codeCacheOf(folder);
  mkdirSync(cache);
  const app = http.createServer((_, response) => response.end("ok"));
  await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
  const { port } = app.address() as AddressInfo; // as: it listens on an address
  try {
    const run = { folder };
    for (const bundle of ["heddle-proxy.mjs", "heddle.mjs proxy"])
      await runOnce({ ...run, bundle, bootstrap: staticBootstrap(port), isDone: (line) => useListeners(line) });
    // It says so when it could not reach the control plane; it is not ready without one.
    await runOnce({
      ...run,
      bundle: "heddle-proxy.mjs",
      bootstrap: discoveredBootstrap(port),
      isDone: () => undefined,
    });
  } finally {
    app.closeAllConnections();
    app.close();
  }
  return sizeOf(cache);
}

function sizeOf(cache: string): number {
  let bytes = 0;
  for (const entry of readdirSync(cache, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    if (!entry.isFile()) continue;
    // Node writes them for nobody else; an image's user is not who built it.
    chmodSync(file, 0o644);
    bytes += statSync(file).size;
  }
  return bytes;
}

/**
 * Takes over the cache of the bundles in `from`, where they are the same as those in `folder` and were compiled by this Node: V8
 * would write another one for them, and images would change though nothing has. Answers with its size; undefined: there is none.
 */
export function tryKeepCodeCache(from: string, folder: string): number | undefined {
  const old = codeCacheOf(from);
  const isOurs = (name: string): boolean => name.startsWith(`${process.version}-${process.arch}-`);
  if (!existsSync(old) || !readdirSync(old).every(isOurs)) return undefined;
  const names = bundlesIn(folder);
  if (names.join() !== bundlesIn(from).join()) return undefined;
  for (const name of names)
    if (!readFileSync(path.join(from, name)).equals(readFileSync(path.join(folder, name)))) return undefined;
  cpSync(old, codeCacheOf(folder), { recursive: true });
  return sizeOf(codeCacheOf(folder));
}

function bundlesIn(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return files.filter((name) => name.endsWith(".mjs")).toSorted();
}

interface Run {
  readonly folder: string;
  readonly bundle: string;
  readonly bootstrap: unknown;
  /** Called with the first line that the proxy says. */
  readonly isDone: (line: string) => Promise<void> | undefined;
}

/** Starts a proxy, uses it, ends it as an operator would: Node writes its cache at the end. */
async function runOnce({ folder, bundle, bootstrap, isDone }: Run): Promise<void> {
  const file = path.join(folder, "build.json");
  writeFileSync(file, JSON.stringify(bootstrap));
  const [program = "", ...args] = bundle.split(" ");
  const env = { ...process.env };
  // Else the cache would be another one, or none.
  for (const name of ["NODE_COMPILE_CACHE", "NODE_DISABLE_COMPILE_CACHE", "NODE_OPTIONS"]) delete env[name];
  const proxy = spawn(process.execPath, [path.join(folder, program), ...args, "-c", file, "--log-level", "info"], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
  });
  let said = "";
  const firstLine = new Promise<string>((resolve) => {
    for (const output of [proxy.stdout, proxy.stderr])
      output.on("data", (bytes: Buffer) => {
        said += bytes.toString();
        if (said.includes("\n")) resolve(said.slice(0, said.indexOf("\n")));
      });
  });
  const ended = new Promise<void>((resolve, reject) => {
    proxy.once("error", reject);
    proxy.once("exit", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`Cannot make the code cache: ${bundle} ended with ${signal ?? code}: ${said}`));
    });
  });
  const limit = setTimeout(() => proxy.kill("SIGKILL"), LIMIT_MS);
  try {
    await Promise.race([ended, firstLine.then(isDone)]);
    proxy.kill("SIGTERM");
    await ended;
  } finally {
    clearTimeout(limit);
    rmSync(file);
  }
}

/** Sends a request through every listener that the line "ready" names. */
async function useListeners(line: string): Promise<void> {
  const { listeners } = JSON.parse(line) as { readonly listeners: Readonly<Record<string, number>> }; // as: that line
  for (const port of Object.values(listeners)) {
    const answer = await fetch(`http://127.0.0.1:${port}/`);
    if (!answer.ok) throw new Error(`Cannot make the code cache: the proxy answered ${answer.status}`);
    await answer.arrayBuffer();
  }
}

/** What most proxies do: HTTP in both versions, routes, a log, a pool of connections. */
function staticBootstrap(upstream: number): unknown {
  return { ...node(), static_resources: { listeners: [listener()], clusters: [cluster("app", upstream)] } };
}

/** The same with a control plane, which does not answer. */
function discoveredBootstrap(upstream: number): unknown {
  const ads = { ads: {}, resource_api_version: "V3" };
  return {
    ...node(),
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: "DELTA_GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "control-plane" } }],
      },
    },
    static_resources: { clusters: [cluster("control-plane", upstream)] },
  };
}

function node(): object {
  return {
    node: { id: "build", cluster: "build", metadata: { heddle: { metrics: { address: "127.0.0.1", port: 0 } } } },
    admin: { address: address(0) },
  };
}

function address(port: number): object {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}

function cluster(name: string, port: number): object {
  return {
    name,
    type: "STATIC",
    connect_timeout: "5s",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
  };
}

function listener(): object {
  const log = {
    name: "envoy.access_loggers.file",
    typed_config: {
      "@type": `${TYPE}.access_loggers.file.v3.FileAccessLog`,
      path: "/dev/null",
      log_format: { json_format: { time: "%START_TIME%", status: "%RESPONSE_CODE%", path: "%REQ(:PATH)%" } },
    },
  };
  const route = {
    match: { prefix: "/" },
    route: { cluster: "app", timeout: "15s", retry_policy: { retry_on: "connect-failure", num_retries: 1 } },
  };
  const manager = {
    "@type": `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "build",
    access_log: [log],
    route_config: { name: "build", virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
    http_filters: [
      { name: "envoy.filters.http.router", typed_config: { "@type": `${TYPE}.filters.http.router.v3.Router` } },
    ],
  };
  const filters = [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }];
  return { name: "build", address: address(0), filter_chains: [{ filters }] };
}
