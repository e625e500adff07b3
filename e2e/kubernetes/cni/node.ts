// A node as the CNI plugin sees it: folders of plugins and configurations, an API server's account, network namespaces of pods. The
// installer and the plugin run as they do there, from the bundle that images have.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { rolldown } from "rolldown";

import { getIptables } from "../../wire/captured/iptables.ts";

const ROOT = path.join(import.meta.dirname, "..", "..", "..");

export interface Answer {
  readonly code: number | null;
  readonly text: string;
}

export interface Account {
  readonly server: URL;
  readonly token: string;
  readonly ca: string;
}

/** What a runtime says about one pod. */
export interface Asked {
  readonly command: string;
  readonly pod?: string;
  readonly networkNamespace?: string;
  /** In place of the configuration with a result of the plugins before. */
  readonly input?: string;
}

/** As the plugins before ours give it. */
export const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", mac: "0a:58:0a:58:00:05", sandbox: "/var/run/netns/pod" }],
  ips: [{ address: "10.88.0.5/24", gateway: "10.88.0.1", interface: 0 }],
  routes: [{ dst: "0.0.0.0/0" }],
  dns: {},
};

export class TestNode {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), "heddle-cni-"));
  readonly bin = path.join(this.folder, "bin");
  readonly conf = path.join(this.folder, "net.d");
  readonly log = path.join(this.folder, "heddle-cni.log");
  readonly #account: Account;
  readonly #tools = getIptables();
  readonly #pods: ChildProcess[] = [];
  #installer: ChildProcess | undefined;
  /** What the installer has printed. */
  said = "";

  constructor(account: Account) {
    this.#account = account;
    for (const name of ["bin", "net.d", "account"]) fs.mkdirSync(path.join(this.folder, name));
    fs.writeFileSync(path.join(this.folder, "account/ca.crt"), account.ca);
    fs.writeFileSync(path.join(this.folder, "account/token"), account.token);
  }

  /** One file without chunks, as `npm run build` makes it. */
  async bundle(): Promise<void> {
    const built = await rolldown({
      input: { "heddle-init": path.join(ROOT, "cli/entries/init.ts") },
      platform: "node",
      cwd: ROOT,
    });
    await built.write({ dir: this.folder, format: "esm", entryFileNames: "[name].mjs" });
    await built.close();
  }

  install(...flags: readonly string[]): void {
    const args = [
      path.join(this.folder, "heddle-init.mjs"),
      "install-cni",
      `--bin-dir=${this.bin}`,
      `--conf-dir=${this.conf}`,
      `--host-conf-dir=${this.conf}`,
      `--log=${this.log}`,
      `--account-dir=${path.join(this.folder, "account")}`,
      "--ready-port=0",
      ...flags,
    ];
    const { root, env } = this.#tools;
    const libraries = root === undefined ? undefined : path.join(root, "usr/lib/x86_64-linux-gnu");
    const child = spawn(process.execPath, args, {
      env: {
        ...env,
        ...(libraries === undefined ? {} : { PATH: `${root}/usr/sbin`, XTABLES_LIBDIR: `${libraries}/xtables` }),
        KUBERNETES_SERVICE_HOST: this.#account.server.hostname,
        KUBERNETES_SERVICE_PORT: this.#account.server.port,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout.on("data", (bytes: Buffer) => (this.said += bytes.toString()));
    process.once("exit", () => child.kill("SIGKILL"));
    this.#installer = child;
  }

  /** As the kubelet ends a container; gives the exit code. */
  async endInstaller(): Promise<unknown> {
    const child = this.#installer;
    if (child === undefined || child.exitCode !== null) return child?.exitCode;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    return (await exited)[0];
  }

  writeConf(name: string, value: unknown): void {
    fs.writeFileSync(path.join(this.conf, name), JSON.stringify(value));
  }

  readConf(name: string): { readonly plugins: readonly Readonly<Record<string, unknown>>[] } {
    return JSON.parse(fs.readFileSync(path.join(this.conf, name), "utf8")) as ReturnType<TestNode["readConf"]>; // as: the test wrote it
  }

  /** Our plugin's part of a configuration, as the runtime hands it over. */
  input(changes: Readonly<Record<string, unknown>> = {}): string {
    const own = this.readConf("10-bridge.conflist").plugins.at(-1);
    return JSON.stringify({ cniVersion: "1.0.0", name: "bridge", ...own, prevResult: RESULT, ...changes });
  }

  /** Starts the plugin as containerd does. */
  ask({ command, pod, networkNamespace, input = this.input() }: Asked): Answer {
    const names = pod === undefined ? "" : `;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=c1`;
    const { status, stdout } = spawnSync(path.join(this.bin, "heddle-cni"), {
      input,
      encoding: "utf8",
      env: {
        PATH: "/usr/bin:/bin",
        CNI_COMMAND: command,
        CNI_CONTAINERID: "c1",
        CNI_IFNAME: "eth0",
        CNI_PATH: this.bin,
        CNI_ARGS: `IgnoreUnknown=1${names}`,
        ...(networkNamespace === undefined ? {} : { CNI_NETNS: networkNamespace }),
      },
    });
    return { code: status, text: stdout };
  }

  /** A pod's network namespace, as a file. */
  async makeNamespace(): Promise<string> {
    const child = spawn("unshare", ["-n", "sh", "-c", "echo made; exec sleep 1000"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    process.once("exit", () => child.kill("SIGKILL"));
    this.#pods.push(child);
    await once(child.stdout, "data");
    return `/proc/${child.pid}/ns/net`;
  }

  /** The nat tables in it, of both families. */
  rulesIn(networkNamespace: string): string {
    return this.#inside(networkNamespace, "iptables-save") + this.#inside(networkNamespace, "ip6tables-save");
  }

  flush(networkNamespace: string): void {
    this.#inside(networkNamespace, "iptables", "-F", "HEDDLE_OUTPUT");
  }

  #inside(networkNamespace: string, ...args: readonly string[]): string {
    const multi = this.#tools.file("xtables-nft-multi");
    return execFileSync("nsenter", [`--net=${networkNamespace}`, multi, ...args.toSpliced(1, 0, "-t", "nat")], {
      env: this.#tools.env,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
  }

  async close(): Promise<void> {
    await this.endInstaller();
    for (const pod of this.#pods) pod.kill("SIGKILL");
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
