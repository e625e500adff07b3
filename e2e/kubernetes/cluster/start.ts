// Starts a whole one-node cluster in namespaces of its own: about 10 s, 1 GB of memory. Any number of them live beside each other.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

import { until } from "../../wire/until.ts";
import { Cluster } from "./cluster.ts";
import {
  apiServerCommand,
  etcdCommand,
  KUBE_PROGRAMS,
  managerCommand,
  schedulerCommand,
  socketOf,
  writeNode,
} from "./components.ts";
import { makeControlGroup, removeControlGroup } from "./control-groups.ts";
import { writeCredentials } from "./credentials.ts";
import { getNodeImages } from "./images.ts";
import { type HeldNamespaces, holdNamespaces } from "./namespaces.ts";
import { getNodePrograms } from "./node-programs.ts";
import { getPart } from "./parts.ts";

const PREFIX = "heddle-cluster-";
const ADDRESS = "10.77.0.1";
const ETCD = "http://127.0.0.1:2379";

export interface ClusterOptions {
  /** Archives of images beside those that every cluster has (images.ts). */
  readonly images?: readonly string[];
  /** CoreDNS; true if not said otherwise. */
  readonly dns?: boolean;
  /** More arguments for the API server. */
  readonly apiServer?: readonly string[];
  /** Called with a line for each step. */
  readonly print?: (line: string) => void;
}

export class HeldCluster extends Cluster {
  readonly #namespaces: HeldNamespaces;

  constructor(coordinates: Cluster["coordinates"], namespaces: HeldNamespaces) {
    super(coordinates);
    this.#namespaces = namespaces;
  }

  /** Ends every process of it and removes what it wrote. */
  async stop(): Promise<void> {
    await this.#namespaces.end();
    await removeRemains(this.folder);
  }
}

/** @throws {Error} that names the part which cannot be had, or the program that does not come up, with its last lines. */
export async function startCluster(options: ClusterOptions = {}): Promise<HeldCluster> {
  const { print = () => undefined, dns = true } = options;
  const begin = performance.now();
  const say = (what: string): void => print(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s ${what}`);
  if (process.getuid?.() !== 0)
    throw new Error("Cannot start a cluster: only root can make its namespaces and control groups");
  const programs = getNodePrograms();
  const kube = await getPart("kube");
  // Needed last, and nothing else waits for it.
  const helm = getPart("helm");
  helm.catch(() => undefined);
  const images = [...(await getNodeImages(programs)), ...(options.images ?? [])];
  await removeLeftOvers();
  say("all parts are here");

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), PREFIX));
  for (const name of ["bin", "log", "pids", "commands"]) fs.mkdirSync(path.join(folder, name));
  for (const name of KUBE_PROGRAMS) fs.symlinkSync(kube, path.join(folder, "bin", name));
  const credentials = path.join(folder, "credentials");
  await writeCredentials(credentials, `https://${ADDRESS}:6443`, [ADDRESS, "10.96.0.1", "fd96::1"]);
  const env = {
    ...programs.env,
    PATH: `${folder}/bin:${programs.env["PATH"] ?? ""}`,
    KUBECONFIG: path.join(credentials, "admin.conf"),
    // helm keeps caches: not in somebody's home.
    HELM_CACHE_HOME: `${folder}/helm/cache`,
    HELM_CONFIG_HOME: `${folder}/helm/config`,
    HELM_DATA_HOME: `${folder}/helm/data`,
  };
  const namespaces = await holdNamespaces(folder, { ...process.env, ...env });
  const { firstPid, network } = namespaces;
  const cluster = new HeldCluster({ folder, env, firstPid, network }, namespaces);
  try {
    fs.writeFileSync(path.join(folder, "cluster.json"), JSON.stringify(cluster.coordinates));
    const nodeFolder = path.join(folder, "node1");
    const controlGroup = makeControlGroup(path.basename(folder));
    const node = writeNode({ number: 1, folder: nodeFolder, credentials, cniFolder: programs.cniFolder, controlGroup });
    cluster.launch("etcd", etcdCommand(`${folder}/etcd`, ETCD, "http://127.0.0.1:2380"));
    const extra = options.apiServer ?? [];
    cluster.launch("apiserver", apiServerCommand({ credentials, etcd: ETCD, address: ADDRESS, port: 6443, extra }));
    cluster.launch("containerd", node.containerd);
    await until("containerd listens", () => fs.existsSync(socketOf(nodeFolder)), 60_000);
    await Promise.all([
      cluster.untilApiServerIsReady().then(() => say("the API server is ready")),
      importAll(cluster, images),
    ]);
    say(`${images.length} images are imported`);
    cluster.launch("manager", managerCommand(credentials));
    cluster.launch("scheduler", schedulerCommand(credentials));
    cluster.launch("kubelet", node.kubelet);
    cluster.launch("proxy", node.proxy);
    await cluster.untilNodeIsReady("node1");
    // No pod can be made before its namespace has its account.
    await cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s");
    say("the node is ready");
    if (dns) {
      await cluster.apply(fs.readFileSync(path.join(import.meta.dirname, "dns.yaml"), "utf8"));
      await cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=50s");
      say("CoreDNS answers");
    }
    fs.symlinkSync(await helm, path.join(folder, "bin", "helm"));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

async function importAll(cluster: Cluster, images: readonly string[]): Promise<void> {
  for (const image of images) await cluster.importImage(image);
}

/** Clusters end with whoever started them, but their folders and control groups may stay. */
async function removeLeftOvers(): Promise<void> {
  for (const name of fs.readdirSync(os.tmpdir()).filter((entry) => entry.startsWith(PREFIX))) {
    const folder = path.join(os.tmpdir(), name);
    const lock = path.join(folder, "lock");
    if (!fs.existsSync(lock)) continue;
    try {
      execFileSync("flock", ["-n", lock, "true"], { stdio: "ignore" });
    } catch {
      continue; // It lives.
    }
    await removeRemains(folder);
  }
}

async function removeRemains(folder: string): Promise<void> {
  // The kernel lets go of control groups and mounts a moment after the last process.
  await until(`the control groups of ${folder} are gone`, () => removeControlGroup(path.basename(folder)), 20_000);
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
}
