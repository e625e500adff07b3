// Envoy as a process beside Heddle's, with the same listeners and clusters: what the one answers is held against the other.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { getEnvoy } from "../../bench/tools/get-envoy.ts";

import type { ProxyConfig } from "./proxy.ts";
import { until } from "./until.ts";

interface ListenerStatus {
  readonly name: string;
  readonly local_address: { readonly socket_address: { readonly port_value: number } };
}

export class Envoy {
  readonly #child: ChildProcess;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #folder: string;
  readonly adminPort: number;

  private constructor(child: ChildProcess, ports: ReadonlyMap<string, number>, adminPort: number, folder: string) {
    this.#child = child;
    this.#ports = ports;
    this.adminPort = adminPort;
    this.#folder = folder;
  }

  /** Resolves when all listeners are open; throws with what Envoy said when it ends before. `more`: of the bootstrap. */
  static async start(config: ProxyConfig, more: object = {}): Promise<Envoy> {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-envoy-"));
    const file = path.join(folder, "bootstrap.json");
    const admin = path.join(folder, "admin");
    const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
    fs.writeFileSync(file, JSON.stringify({ admin: { address }, static_resources: config, ...more }));
    const flags = ["--concurrency", "1", "--use-dynamic-base-id", "-l", "warn", "--admin-address-path", admin];
    const child = spawn(getEnvoy(), ["-c", file, ...flags], { stdio: ["ignore", "ignore", "pipe"] });
    let complaints = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints = (complaints + text).slice(-20_000)));
    const ports = new Map<string, number>();
    await until("Envoy opens its listeners", async () => {
      if (child.exitCode !== null) throw new Error(`Envoy ended with ${child.exitCode}: ${complaints}`);
      for (const { name, local_address: local } of await readListeners(admin))
        ports.set(name, local.socket_address.port_value);
      return ports.size === config.listeners.length;
    });
    return new Envoy(child, ports, Number(adminOf(admin).split(":").at(-1)), folder);
  }

  port(listener: string): number {
    const port = this.#ports.get(listener);
    if (port === undefined) throw new Error(`Envoy has no listener ${listener}: ${[...this.#ports.keys()].join()}`);
    return port;
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, "exit");
    fs.rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** None while Envoy is still starting. */
async function readListeners(adminFile: string): Promise<readonly ListenerStatus[]> {
  const admin = adminOf(adminFile);
  if (admin === "") return [];
  const answer = await fetch(`http://${admin}/listeners?format=json`).catch(() => undefined);
  if (answer?.ok !== true) return [];
  const { listener_statuses: statuses } = (await answer.json()) as { listener_statuses?: ListenerStatus[] }; // as: Envoy's admin API
  return statuses ?? [];
}

/** Address and port; "" while Envoy has not written it. */
function adminOf(file: string): string {
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").trim() : "";
}
