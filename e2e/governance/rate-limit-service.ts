// Envoy's reference rate-limit server on a real Redis, with limits of a test's own.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

import { getGoTool } from "../go-tools.ts";
import { freePort } from "../wire/opaque-servers.ts";
import { getRedis } from "../wire/redis.ts";
import { until } from "../wire/until.ts";

const MODULE = "github.com/envoyproxy/ratelimit/src/service_cmd@v1.4.1-0.20260122083618-3fb702589d36";

/** One server, which can be killed and started again on its port; Redis goes on meanwhile. */
export class RateLimitServer {
  readonly port: number;
  readonly #redis: ChildProcess;
  readonly #redisPort: number;
  readonly #folder: string;
  #server: ChildProcess | undefined = undefined;

  private constructor(port: number, redis: ChildProcess, redisPort: number, folder: string) {
    this.port = port;
    this.#redis = redis;
    this.#redisPort = redisPort;
    this.#folder = folder;
  }

  /** `limits` is the server's own YAML: a domain and its descriptors. */
  static async start(limits: string): Promise<RateLimitServer> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-ratelimit-"));
    fs.mkdirSync(path.join(folder, "test", "config"), { recursive: true });
    fs.writeFileSync(path.join(folder, "test", "config", "limits.yaml"), limits);
    const { file, env } = getRedis();
    const redisPort = await freePort();
    const args = ["--port", String(redisPort), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    const redis = spawn(file, args, { env, cwd: folder, stdio: "ignore" });
    await until("Redis listens", () => isOpen(redisPort));
    const server = new RateLimitServer(await freePort(), redis, redisPort, folder);
    await server.restart();
    return server;
  }

  async restart(): Promise<void> {
    const [http, debug] = [await freePort(), await freePort()];
    const server = spawn(getGoTool("service_cmd", MODULE), [], {
      cwd: this.#folder,
      stdio: "ignore",
      env: {
        ...process.env,
        HOST: "127.0.0.1",
        PORT: String(http),
        GRPC_HOST: "127.0.0.1",
        GRPC_PORT: String(this.port),
        DEBUG_HOST: "127.0.0.1",
        DEBUG_PORT: String(debug),
        USE_STATSD: "false",
        RUNTIME_ROOT: this.#folder,
        RUNTIME_SUBDIRECTORY: "test",
        RUNTIME_WATCH_ROOT: "false",
        REDIS_SOCKET_TYPE: "tcp",
        REDIS_URL: `127.0.0.1:${this.#redisPort}`,
        LOG_LEVEL: "error",
      },
    });
    this.#server = server;
    await until("the rate-limit server listens", () => {
      if (server.exitCode !== null) throw new Error(`the rate-limit server ended with ${server.exitCode}`);
      return isOpen(this.port);
    });
  }

  async kill(): Promise<void> {
    await end(this.#server);
  }

  /** The server takes connections and answers nothing. */
  pause(): void {
    this.#server?.kill("SIGSTOP");
  }

  goOn(): void {
    this.#server?.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await end(this.#server);
    await end(this.#redis);
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
