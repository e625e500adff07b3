// An API server without a node: etcd and kube-apiserver on loopback ports, ready in about 3 s, needs no root. For what the server
// alone decides: definitions of kinds, validation, watches.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { until } from "../../wire/until.ts";
import { apiServerCommand, type Command, etcdCommand, KUBE_PROGRAMS } from "./components.ts";
import { writeCredentials } from "./credentials.ts";
import { getPart } from "./parts.ts";

const run = promisify(execFile);
const ADDRESS = "127.0.0.1";

export class ApiServer {
  /** Everything that it writes. */
  readonly folder: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly #server: Command;
  readonly #running = new Map<string, ChildProcess>();

  private constructor(folder: string, server: Command) {
    this.folder = folder;
    this.kubeconfig = path.join(folder, "credentials", "admin.conf");
    this.#server = server;
  }

  /** @throws {Error} when Kubernetes cannot be built, or does not come up within a minute. */
  static async start(extra: readonly string[] = []): Promise<ApiServer> {
    const kube = await getPart("kube");
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-api-server-"));
    fs.mkdirSync(path.join(folder, "bin"));
    for (const name of KUBE_PROGRAMS) fs.symlinkSync(kube, path.join(folder, "bin", name));
    const [port = 0, client, peer] = await freePorts(3);
    const credentials = path.join(folder, "credentials");
    await writeCredentials(credentials, `https://${ADDRESS}:${port}`, [ADDRESS]);
    const etcd = `http://${ADDRESS}:${String(client)}`;
    const command = apiServerCommand({ credentials, etcd, address: ADDRESS, port, extra });
    const server = new ApiServer(folder, command);
    try {
      server.#launch(etcdCommand(path.join(folder, "etcd"), etcd, `http://${ADDRESS}:${String(peer)}`));
      await server.#launchServer();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** What kubectl printed. @throws {Error} with what it complained of. */
  async kubectl(args: readonly string[], input = ""): Promise<string> {
    const options = { env: this.#env, timeout: 60_000, maxBuffer: 1 << 26 };
    const running = run(path.join(this.folder, "bin", "kubectl"), [...args], options);
    running.child.stdin?.on("error", () => undefined);
    running.child.stdin?.end(input);
    return (await running).stdout;
  }

  /** Kills the server, not its store, and starts it again in place; returns when it answers. */
  async restart(): Promise<void> {
    await this.#kill("kube-apiserver");
    await this.#launchServer();
  }

  async stop(): Promise<void> {
    for (const name of [...this.#running.keys()].reverse()) await this.#kill(name);
    fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #env(): NodeJS.ProcessEnv {
    return { ...process.env, KUBECONFIG: this.kubeconfig };
  }

  async #launchServer(): Promise<void> {
    this.#launch(this.#server);
    const isReady = async (): Promise<boolean> => {
      const child = this.#running.get("kube-apiserver");
      if (child?.exitCode !== null) throw new Error("It ended");
      return this.kubectl(["get", "--raw=/readyz"]).then(
        () => true,
        () => false,
      );
    };
    await until("kube-apiserver answers", isReady, 60_000).catch((cause: unknown) => {
      throw new Error(`kube-apiserver does not answer: ${this.#logOf("kube-apiserver")}`, { cause });
    });
    // The namespace is made by the server itself, a moment later.
    await this.kubectl(["wait", "--for=create", "namespace/default", "--timeout=30s"]);
  }

  #launch([program = "", ...args]: Command): void {
    const log = fs.openSync(path.join(this.folder, `${program}.log`), "a");
    const child = spawn(path.join(this.folder, "bin", program), args, { env: this.#env, stdio: ["ignore", log, log] });
    fs.closeSync(log);
    this.#running.set(program, child);
    // Nothing may outlive the test.
    process.once("exit", () => child.kill("SIGKILL"));
  }

  async #kill(name: string): Promise<void> {
    const child = this.#running.get(name);
    this.#running.delete(name);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  #logOf(name: string): string {
    return fs.readFileSync(path.join(this.folder, `${name}.log`), "utf8").slice(-2000);
  }
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0, ADDRESS);
      await once(server, "listening");
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port); // as: it listens on TCP
  await Promise.all(servers.map(async (server) => once(server.close(), "close")));
  return ports;
}
