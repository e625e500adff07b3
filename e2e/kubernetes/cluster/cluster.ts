// A test cluster as its users see it: commands in it, its programs to be disturbed, its images.
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

import { until } from "../../wire/until.ts";
import { type Command, socketOf } from "./components.ts";
import { commandIn, type Namespaces } from "./namespaces.ts";

const run = promisify(execFile);

/** The programs that a cluster consists of; those of a second node have its name before them (`node2-kubelet`). */
export type ProgramName =
  | "etcd"
  | "apiserver"
  | "manager"
  | "scheduler"
  | `${"" | "node2-"}${"containerd" | "kubelet" | "proxy"}`;

/** What other processes need to know of a cluster: in `cluster.json` in its folder. */
export interface Coordinates extends Namespaces {
  readonly folder: string;
  /** KUBECONFIG, PATH with kubectl, helm and ctr, and what programs unpacked from Debian need. */
  readonly env: Readonly<Record<string, string>>;
}

export interface ExecOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export class Cluster {
  readonly coordinates: Coordinates;
  readonly folder: string;
  /** The administrator's. */
  readonly kubeconfig: string;

  constructor(coordinates: Coordinates) {
    this.coordinates = coordinates;
    this.folder = coordinates.folder;
    this.kubeconfig = path.join(this.folder, "credentials", "admin.conf");
  }

  /** Joins a cluster that another process holds: that of the folder, else that whose tests these are. */
  static join(folder: string | undefined = process.env["HEDDLE_CLUSTER"]): Cluster {
    if (folder === undefined)
      throw new Error("There is no cluster: run this with `npm run e2e -- kubernetes FILE`, or set HEDDLE_CLUSTER");
    const text = fs.readFileSync(path.join(folder, "cluster.json"), "utf8");
    return new Cluster(JSON.parse(text) as Coordinates); // as: start.ts wrote it
  }

  /** The command line that runs `command` in the cluster's namespaces. */
  command(command: Command): string[] {
    return commandIn(this.coordinates, command, process.cwd());
  }

  /** Environment of commands in the cluster. */
  get env(): NodeJS.ProcessEnv {
    return { ...process.env, ...this.coordinates.env, HEDDLE_CLUSTER: this.folder };
  }

  /**
   * Runs a program in the cluster's network, mounts and processes; gives what it printed.
   * @throws {Error} with what it complained of, when it fails or takes longer than `timeoutMs` (60 s).
   */
  async exec(command: Command, { input, timeoutMs = 60_000, env = {} }: ExecOptions = {}): Promise<string> {
    const [file = "", ...args] = this.command(command);
    const running = run(file, args, { env: { ...this.env, ...env }, timeout: timeoutMs, maxBuffer: 1 << 28 });
    running.child.stdin?.on("error", () => undefined);
    running.child.stdin?.end(input ?? "");
    try {
      return (await running).stdout;
    } catch (cause) {
      const { killed, stderr, stdout } = cause as { killed?: boolean; stderr?: string; stdout?: string }; // as: what execFile adds
      const said = killed === true ? `not done within ${timeoutMs} ms` : `${stderr ?? ""}${stdout ?? ""}`.slice(-4000);
      throw new Error(`${command.join(" ").slice(0, 300)}: ${said.trim() || String(cause)}`, { cause });
    }
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.exec(["kubectl", ...args]);
  }

  helm(...args: readonly string[]): Promise<string> {
    return this.exec(["helm", ...args], { timeoutMs: 300_000 });
  }

  /** Applies YAML, or objects. */
  apply(manifest: string | readonly object[], ...args: readonly string[]): Promise<string> {
    const input =
      typeof manifest === "string" ? manifest : JSON.stringify({ apiVersion: "v1", kind: "List", items: manifest });
    return this.exec(["kubectl", "apply", "--server-side", "--force-conflicts", ...args, "-f", "-"], { input });
  }

  /** Gives nodes the image of an archive (OCI or Docker). */
  async importImage(file: string): Promise<void> {
    for (const node of ["node1", "node2"]) {
      const socket = socketOf(path.join(this.folder, node));
      if (fs.existsSync(socket))
        await this.exec(["ctr", "-a", socket, "-n", "k8s.io", "images", "import", file], { timeoutMs: 300_000 });
    }
  }

  /** The last lines that a program printed. */
  logOf(name: ProgramName, lines = 30): string {
    const text = fs.readFileSync(this.#file("log", `${name}.log`), "utf8");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Starts a program with the command line that it always has, or with a new one. */
  launch(name: ProgramName, command?: Command): void {
    const file = this.#file("commands", `${name}.json`);
    if (command !== undefined) fs.writeFileSync(file, JSON.stringify(command));
    const known = command ?? (JSON.parse(fs.readFileSync(file, "utf8")) as string[]); // as: written above
    const noting = ["sh", "-c", 'echo $$ >"$0"; exec "$@"', this.#file("pids", name), ...known];
    const [program = "", ...args] = commandIn(this.coordinates, noting, this.folder);
    const log = fs.openSync(this.#file("log", `${name}.log`), "a");
    spawn(program, args, { env: this.env, detached: true, stdio: ["ignore", log, log] }).unref();
    fs.closeSync(log);
  }

  /** Ends a program, at once if not asked otherwise, and returns when it is gone. Pods outlive their kubelet and containerd. */
  async kill(name: ProgramName, signal: "KILL" | "TERM" = "KILL"): Promise<void> {
    const pid = fs.readFileSync(this.#file("pids", name), "utf8").trim();
    await this.exec(["kill", `-${signal}`, pid]);
    await until(
      `${name} ended`,
      async () => {
        const state = await this.exec(["sh", "-c", `cat /proc/${pid}/stat 2>/dev/null || true`]);
        if (state === "") return true;
        // A zombie whose other threads are still on their way out has its port open, and the next one would not get it.
        const threads = await this.exec(["sh", "-c", `ls /proc/${pid}/task 2>/dev/null | wc -l`]);
        return / Z /.test(state) && Number(threads) <= 1;
      },
      60_000,
    );
  }

  /** Kills a program and starts it again; returns when it does its work. */
  async restart(name: ProgramName, signal: "KILL" | "TERM" = "KILL"): Promise<void> {
    await this.kill(name, signal);
    this.launch(name);
    if (name === "etcd" || name === "apiserver") await this.untilApiServerIsReady();
    if (name.endsWith("kubelet")) await this.untilNodeIsReady(name.startsWith("node2-") ? "node2" : "node1");
  }

  async untilApiServerIsReady(): Promise<void> {
    await this.#until("apiserver", "the API server is ready", ["get", "--raw=/readyz"], /ok/);
  }

  async untilNodeIsReady(node: string): Promise<void> {
    const program = node === "node2" ? "node2-kubelet" : "kubelet";
    await this.#until(program, `${node} is ready`, ["get", "node", node, "--no-headers"], /\bReady\b/);
    // A node counts as ready for a while after its kubelet is gone.
    await this.#until(
      program,
      `the kubelet of ${node} answers`,
      ["get", "--raw", `/api/v1/nodes/${node}/proxy/healthz`],
      /ok/,
    );
  }

  async #until(program: ProgramName, what: string, args: readonly string[], wanted: RegExp): Promise<void> {
    let last = "";
    const holds = async (): Promise<boolean> => {
      last = await this.exec(["kubectl", "--request-timeout=5s", ...args]).catch((error: unknown) => String(error));
      if (!last.startsWith("Error") && wanted.test(last)) return true;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return false;
    };
    await until(what, holds, 120_000).catch((cause: unknown) => {
      throw new Error(
        `Not so within two minutes: ${what} (${last.trim()}). ${program}'s log:\n${this.logOf(program)}`,
        {
          cause,
        },
      );
    });
  }

  #file(...names: readonly string[]): string {
    return path.join(this.folder, ...names);
  }
}
