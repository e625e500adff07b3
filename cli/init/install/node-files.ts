// Copies what the plugin needs onto a node: Node, the bundle, iptables, and every shared library with the loader, since a node has
// none of it, and another C library perhaps.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { HeddleError } from "#lib/errors.ts";
import { NODE_LAYOUT } from "../node-layout.ts";
import { BACKENDS } from "../iptables.ts";
import { writeWhole } from "./configuration.ts";

export interface NodeFileSources {
  readonly node: string;
  readonly bundle: string;
  /** Where xtables-nft-multi and xtables-legacy-multi may be. */
  readonly toolFolders: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Of iptables, as Debian and others build it. */
const EXTENSION_FOLDERS = ["x86_64-linux-gnu/xtables", "aarch64-linux-gnu/xtables", "xtables"].flatMap((folder) =>
  ["/usr/lib", "/usr/lib64", "/lib"].map((root) => path.join(root, folder)),
);

/**
 * A folder of its own for each installation: one that runs keeps its files, and the wrapper changes from one to the other at
 * once. `id` names the folder.
 */
export function installNodeFiles(binFolder: string, id: string, sources: NodeFileSources): void {
  const all = path.join(binFolder, NODE_LAYOUT.folder);
  const folder = path.join(all, id);
  const libraries = path.join(folder, NODE_LAYOUT.libraries);
  const extensions = path.join(folder, NODE_LAYOUT.extensions);
  for (const one of [libraries, extensions]) mkdirSync(one, { recursive: true });
  const tools = BACKENDS.map((backend) => `xtables-${backend}-multi`)
    .map((name) => sources.toolFolders.map((tools_) => path.join(tools_, name)).find((file) => existsSync(file)))
    .filter((file) => file !== undefined);
  if (tools.length === 0)
    throw new HeddleError(
      "HDL_CNI_INSTALL",
      "Cannot install: this image has neither xtables-nft-multi nor xtables-legacy-multi",
    );
  const copies = new Map<string, string>([
    [sources.node, path.join(folder, NODE_LAYOUT.node)],
    [sources.bundle, path.join(folder, NODE_LAYOUT.bundle)],
    ...tools.map((file) => [file, path.join(folder, path.basename(file))] as const),
  ]);
  for (const program of [sources.node, ...tools]) {
    for (const library of librariesOf(program, sources.env)) {
      const name = /\/ld-(linux|musl)[^/]*$/.test(library) ? NODE_LAYOUT.loader : path.basename(library);
      copies.set(library, path.join(libraries, name));
    }
  }
  const from = [sources.env["XTABLES_LIBDIR"] ?? "", ...EXTENSION_FOLDERS].find((one) => one !== "" && existsSync(one));
  if (from !== undefined)
    for (const name of readdirSync(from)) copies.set(path.join(from, name), path.join(extensions, name));
  for (const [source, target] of copies) {
    copyFileSync(source, target);
    chmodSync(target, 0o755);
  }
  writeWhole(path.join(binFolder, NODE_LAYOUT.wrapper), wrapperOf(id), 0o755);
  for (const other of readdirSync(all))
    if (other !== id) rmSync(path.join(all, other), { recursive: true, force: true });
}

/** What the loader would load, by its own word; nothing for a static program. */
function librariesOf(program: string, env: Readonly<Record<string, string | undefined>>): readonly string[] {
  let text: string;
  try {
    text = execFileSync(program, { env: { ...env, LD_TRACE_LOADED_OBJECTS: "1" }, encoding: "utf8", timeout: 10_000 });
  } catch {
    return [];
  }
  return [...text.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
}

/** DEL is answered before anything that could fail: a pod must be able to end. */
const DELETES = `#!/bin/sh
# Heddle's CNI plugin; docs/interception.md tells about it.
case "$CNI_COMMAND" in DEL|GC|STATUS) exit 0 ;; esac
`;

function wrapperOf(id: string): string {
  const loader = `$d/${NODE_LAYOUT.libraries}/${NODE_LAYOUT.loader}`;
  const command = `"$d/${NODE_LAYOUT.node}" --no-warnings "$d/${NODE_LAYOUT.bundle}" cni`;
  return `${DELETES}d="\${0%/*}/${NODE_LAYOUT.folder}/${id}"
[ ! -e "${loader}" ] || exec "${loader}" --library-path "$d/${NODE_LAYOUT.libraries}" ${command}
exec ${command}
`;
}

/**
 * Everything but a wrapper that answers DEL: runtimes end pods with the configuration that they were made with, and a plugin that
 * is not there would keep them from ending.
 */
export function removeNodeFiles(binFolder: string): void {
  const error = JSON.stringify({ cniVersion: "0.4.0", code: 100, msg: "heddle-cni was removed from this node" });
  writeWhole(path.join(binFolder, NODE_LAYOUT.wrapper), `${DELETES}echo '${error}'\nexit 1\n`, 0o755);
  rmSync(path.join(binFolder, NODE_LAYOUT.folder), { recursive: true, force: true });
}
