// The official gRPC interop suite of grpc-go, each case a test of its own: through one sidecar, and through two with mutual TLS
// between them.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { it, type TestContext } from "node:test";

import { accepts } from "./accepts.ts";
import { atEnd } from "./cleanup.ts";
import { getGoTool } from "../go-tools.ts";
import { startMeshPair } from "./mesh-pair.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";
import { until } from "./until.ts";

const VERSION = "1.85.0";
const LIMIT_MS = 120_000;

/** All that the Go client knows, but for those that need Google's credentials or several backends. */
const CASES = [
  "empty_unary",
  "large_unary",
  "client_streaming",
  "server_streaming",
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
  "status_code_and_message",
  "special_status_message",
  "custom_metadata",
  "unimplemented_method",
  "unimplemented_service",
  "orca_per_rpc",
  "orca_oob",
  "rpc_soak",
  "channel_soak",
] as const;

function getTool(name: "client" | "server"): string {
  return getGoTool(`grpc-interop-${name}-${VERSION}`, `google.golang.org/grpc/interop/${name}@v${VERSION}`);
}

async function startServer(t: TestContext): Promise<number> {
  const port = await freePort();
  const server = spawn(getTool("server"), ["-port", String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4000)));
  atEnd(t, async () => {
    server.kill("SIGKILL");
    if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
  });
  await until("the interop server listens", () => {
    assert.equal(server.exitCode, null, said);
    return accepts(port);
  });
  return port;
}

/** The server takes no port 0: one that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo; // as: a TCP server that listens
  server.close();
  await once(server, "close");
  return port;
}

async function runCase(port: number, name: string): Promise<void> {
  const options = ["-server_host", "127.0.0.1", "-server_port", String(port), "-test_case", name];
  // Load reports go to a balancer, and the client's own for this suite must be asked for.
  if (name.startsWith("orca_"))
    options.push("-service_config_json", '{"loadBalancingConfig":[{"test_backend_metrics_load_balancer":{}}]}');
  if (name.endsWith("_soak")) {
    options.push("-soak_iterations", "50", "-soak_num_threads", "5", "-soak_overall_timeout_seconds", "60");
    options.push("-soak_per_iteration_max_acceptable_latency_ms", "20000");
  }
  const client = spawn(getTool("client"), options, { stdio: ["ignore", "pipe", "pipe"], timeout: LIMIT_MS });
  let said = "";
  for (const stream of [client.stdout, client.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-8000)));
  const [code] = (await once(client, "close")) as [number | null];
  assert.equal(code, 0, said);
}

async function startOne(t: TestContext, app: number): Promise<number> {
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app")],
    clusters: [cluster("app", app, "http2")],
  });
  atEnd(t, () => proxy.stop());
  return proxy.port("in");
}

const ROUTES = {
  "one sidecar": startOne,
  "two sidecars with mutual TLS between them": async (t: TestContext, app: number) =>
    (await startMeshPair(t, app, "http2")).port,
} as const;

for (const [route, start] of Object.entries(ROUTES)) {
  it(`the gRPC interop suite passes through ${route}`, async (t) => {
    const port = await start(t, await startServer(t));
    for (const name of CASES) await t.test(name, () => runCase(port, name));
  });
}
