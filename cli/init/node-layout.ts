// Where the CNI plugin lies on a node, which the installer writes and the plugin reads.
import { existsSync } from "node:fs";
import path from "node:path";
import type { ToolFolders } from "./iptables.ts";

export const NODE_LAYOUT = {
  /** In the folder of CNI plugins: what the runtime starts, and the `type` in its configuration. */
  wrapper: "heddle-cni",
  /** Beside it, with Node, the bundle, iptables and what they need. */
  folder: "heddle-cni.d",
  bundle: "heddle-init.mjs",
  node: "node",
  /** In the folder: shared libraries and their loader, under the loader's own name `ld.so`. */
  libraries: "lib",
  loader: "ld.so",
  /** In the folder: iptables' extensions. */
  extensions: "xtables",
  /** In the folder of CNI configurations. */
  kubeconfig: "heddle-cni-kubeconfig",
  /** The log is begun anew when it is larger, and the old one kept once. */
  mostLogBytes: 1024 * 1024,
} as const;

/** The tools that came with the plugin into `folder`; undefined: none did. */
export function tryNodeTools(folder: string): ToolFolders | undefined {
  const libraries = path.join(folder, NODE_LAYOUT.libraries);
  const loader = path.join(libraries, NODE_LAYOUT.loader);
  if (!existsSync(loader)) return undefined;
  const extensions = path.join(folder, NODE_LAYOUT.extensions);
  return { folders: [folder], loader: { file: loader, libraries, extensions } };
}
