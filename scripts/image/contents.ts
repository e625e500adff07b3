// What is in the images, in one table: `npm run image` makes archives of it, the Dockerfile copies what is laid out from it, and
// contents.test.ts holds the Dockerfile to it.
import fs from "node:fs";
import path from "node:path";

import type { ImageSettings } from "./archive.ts";
import { getPinnedNode } from "./node.ts";
import { ImageTree } from "./tree.ts";

export type TargetName = "proxy" | "control-plane" | "init";

export interface Target {
  /** Bundle in dist/ that runs; with it come the chunks that it reaches. */
  readonly bundle: string;
  /** Arguments when nothing else is said. */
  readonly args: readonly string[];
  /** UID:GID, numbers: Kubernetes' runAsNonRoot reads no names. */
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly number[];
  /** V8's code for a start. */
  readonly hasCodeCache: boolean;
  /** iptables of both backends, with their extensions. */
  readonly hasIptables: boolean;
}

const USERS = { heddle: 1337, "control-plane": 65532 };

export const TARGETS: Readonly<Record<TargetName, Target>> = {
  proxy: {
    bundle: "heddle-proxy",
    args: ["-c", "/etc/heddle/bootstrap.yaml"],
    user: `${USERS.heddle}:${USERS.heddle}`,
    // One heap of glibc for all threads: 4 to 8 MB less resident, at no cost that can be measured (bodies and buffers are V8's).
    env: { MALLOC_ARENA_MAX: "1" },
    // Outbound and inbound capture, health and metrics. The admin port (15000) listens on loopback alone.
    ports: [15001, 15006, 15020],
    hasCodeCache: true,
    hasIptables: false,
  },
  "control-plane": {
    bundle: "heddle-control-plane",
    args: [
      "--config",
      "/etc/heddle/mesh",
      "--state",
      "/var/lib/heddle",
      "--secure-address",
      "0.0.0.0:15012",
      "--metrics-address",
      "0.0.0.0:15014",
    ],
    user: `${USERS["control-plane"]}:${USERS["control-plane"]}`,
    env: {},
    // xDS and certificates, metrics, webhooks.
    ports: [15012, 15014, 15017],
    hasCodeCache: false,
    hasIptables: false,
  },
  init: {
    bundle: "heddle-init",
    args: ["redirect"],
    // Writing rules takes NET_ADMIN, which only root's processes get; the injector drops all else.
    user: "0:0",
    env: {},
    ports: [],
    hasCodeCache: false,
    hasIptables: true,
  },
};

export const TARGET_NAMES = Object.keys(TARGETS) as readonly TargetName[]; // as: the keys are the names

const PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/nodejs/bin";
const NODE = "/nodejs/bin/node";
const CODE = "/heddle";

function entrypointOf({ bundle }: Target): string[] {
  return [NODE, `${CODE}/${bundle}.mjs`];
}

/** As the OCI archive has it. */
export function settingsOf(target: Target): ImageSettings {
  const ports = target.ports.map((port) => [`${port}/tcp`, {}] as const);
  return {
    User: target.user,
    Entrypoint: entrypointOf(target),
    Cmd: target.args,
    Env: Object.entries({ PATH, ...target.env }).map((pair) => pair.join("=")),
    WorkingDir: CODE,
    StopSignal: "SIGTERM",
    ...(ports.length === 0 ? {} : { ExposedPorts: Object.fromEntries(ports) }),
  };
}

/** The lowest layer, the same for all: Node and the libraries it needs, no shell, nothing else. */
export function makeNodeLayer(): ImageTree {
  const tree = ImageTree.makeBase(USERS);
  tree.addProgram(NODE, getPinnedNode());
  return tree;
}

/** The packet filter's tools: /usr/sbin/xtables-nft-multi and its kin, from `programs` (`iptables` of Debian). */
export function makeIptablesLayer(below: ImageTree, programs: IptablesPrograms): ImageTree {
  const tree = new ImageTree(below);
  for (const backend of ["nft", "legacy"]) {
    const tool = `xtables-${backend}-multi`;
    tree.addProgram(`/usr/sbin/${tool}`, path.join(programs.folder, tool), programs.env);
    for (const name of ["iptables", "ip6tables"])
      for (const verb of ["", "-save", "-restore"]) tree.addLink(`/usr/sbin/${name}-${backend}${verb}`, tool);
  }
  // Bridges and ARP have extensions of their own, which nothing here uses.
  for (const file of fs.readdirSync(programs.extensions).filter((name) => /^lib(?:xt|ipt|ip6t)_.*\.so$/.test(name)))
    tree.addProgram(path.join(programs.extensionsAt, file), path.join(programs.extensions, file), programs.env);
  return tree;
}

export interface IptablesPrograms {
  /** Of xtables-nft-multi and xtables-legacy-multi. */
  readonly folder: string;
  readonly extensions: string;
  /** Where the programs look for their extensions. */
  readonly extensionsAt: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The bundles of `dist` that the target runs, without source maps, and the licences. */
export function makeCodeLayer(below: ImageTree, target: Target, dist: string): ImageTree {
  const tree = new ImageTree(below);
  for (const file of reachedFrom(`${target.bundle}.mjs`, dist)) tree.addFile(`${CODE}/${file}`, path.join(dist, file));
  tree.addFile(`${CODE}/LICENSES.txt`, path.join(dist, "LICENSES.txt"));
  tree.addFile(`${CODE}/LICENSE`, path.join(import.meta.dirname, "..", "..", "LICENSE"));
  return tree;
}

/** What V8 compiled: a layer of its own, since V8 never writes the same twice, and all below stays the same. */
export function makeCodeCacheLayer(below: ImageTree, dist: string): ImageTree {
  const tree = new ImageTree(below);
  for (const file of fs.readdirSync(path.join(dist, "cache"), { recursive: true, encoding: "utf8" }))
    if (fs.statSync(path.join(dist, "cache", file)).isFile())
      tree.addFile(`${CODE}/cache/${file}`, path.join(dist, "cache", file));
  return tree;
}

/** The bundle and, again and again, every file beside it whose name stands in one: imports, workers, chunks that are loaded late. */
export function reachedFrom(entry: string, dist: string): string[] {
  const reached = new Set([entry]);
  for (const file of reached) {
    const text = fs.readFileSync(path.join(dist, file), "utf8");
    for (const [, name = ""] of text.matchAll(/["'`]([./\w-]+\.mjs)["'`]/g)) {
      const candidates = [path.posix.join(path.posix.dirname(file), name), path.posix.normalize(name)];
      for (const candidate of candidates)
        if (!candidate.startsWith("..") && fs.existsSync(path.join(dist, candidate))) reached.add(candidate);
    }
  }
  return [...reached];
}
