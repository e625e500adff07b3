// The life of the CNI plugin on one node: installed, kept there when other agents rewrite the configuration, its access to the API
// server renewed, removed at the end.
//
//   waiting --(configuration and token there)--> installed --(SIGTERM)--> removed
//      ^_____(what is there cannot be used)_________/   \--(SIGTERM of a roll-out)--> left as it is
import { readFileSync, rmSync, watch, type FSWatcher } from "node:fs";
import path from "node:path";
import { describeError, HeddleError } from "#lib/errors.ts";
import { formatKubeconfig, get, type ApiAccess } from "../cni/pod-metadata.ts";
import { isFields } from "../cni/protocol.ts";
import { NODE_LAYOUT } from "../node-layout.ts";
import { ensurePlugin, removePlugin, writeWhole } from "./configuration.ts";
import { installNodeFiles, removeNodeFiles, type NodeFileSources } from "./node-files.ts";

export interface InstallerOptions {
  readonly binFolder: string;
  readonly confFolder: string;
  /** The same folder as the node knows it. */
  readonly hostConfFolder: string;
  readonly log: string;
  /** `token` and `ca.crt` of the installer's ServiceAccount. */
  readonly accountFolder: string;
  readonly server: string;
  /** `namespace/name` of the DaemonSet; undefined: every end is for good. */
  readonly daemonSet: string | undefined;
  readonly presets: Readonly<Record<string, string>>;
  readonly sources: NodeFileSources;
  readonly installId: string;
}

/** Also without an event: a rewritten token, a mounted folder that tells nothing. */
const LOOK_MS = 2000;

export class Installer {
  readonly #options: InstallerOptions;
  readonly #say: (line: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #watcher: FSWatcher | undefined;
  #kubeconfig = "";
  /** Why the plugin is not in force; said once for each reason. */
  #problem: string | undefined = "not yet";

  constructor(options: InstallerOptions, say: (line: string) => void) {
    this.#options = options;
    this.#say = say;
  }

  /** The plugin is in the configuration that the runtime reads. */
  get isReady(): boolean {
    return this.#problem === undefined;
  }

  /** Copies the files, and begins to keep the configuration. @throws {HeddleError} HDL_CNI_INSTALL: nothing can be copied. */
  start(): void {
    const { binFolder, confFolder, installId, sources } = this.#options;
    installNodeFiles(binFolder, installId, sources);
    this.#say(`copied to ${binFolder}`);
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#watcher = watch(confFolder, () => this.#look());
    this.#watcher.on("error", () => undefined);
  }

  #look(): void {
    try {
      this.#renewAccess();
      const { confFolder, hostConfFolder, log, presets } = this.#options;
      const kubeconfig = path.join(hostConfFolder, NODE_LAYOUT.kubeconfig);
      if (ensurePlugin(confFolder, { kubeconfig, log, presets })) this.#say(`in the configuration of ${confFolder}`);
      this.#problem = undefined;
    } catch (error) {
      const problem = describeError(error);
      if (problem !== this.#problem) this.#say(`not in force: ${problem}`);
      this.#problem = problem;
    }
  }

  /** The kubelet replaces the token long before it expires; the plugin reads it anew for each pod. */
  #renewAccess(): void {
    const text = formatKubeconfig(this.#access());
    if (text === this.#kubeconfig) return;
    writeWhole(path.join(this.#options.confFolder, NODE_LAYOUT.kubeconfig), text, 0o600);
    this.#kubeconfig = text;
  }

  #access(): ApiAccess {
    const { accountFolder, server } = this.#options;
    const read = (name: string): string => {
      try {
        return readFileSync(path.join(accountFolder, name), "utf8").trim();
      } catch (error) {
        throw new HeddleError("HDL_CNI_INSTALL", `Cannot read the ServiceAccount's ${name}: ${describeError(error)}`);
      }
    };
    return { server, ca: `${read("ca.crt")}\n`, token: read("token") };
  }

  /** Removes the plugin, unless its DaemonSet is there still and another one of us follows. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher?.close();
    if (await this.#hasSuccessor()) {
      this.#say("left in place for the next one");
      return;
    }
    const { binFolder, confFolder } = this.#options;
    removePlugin(confFolder);
    rmSync(path.join(confFolder, NODE_LAYOUT.kubeconfig), { force: true });
    removeNodeFiles(binFolder);
    this.#say("removed");
  }

  async #hasSuccessor(): Promise<boolean> {
    const [namespace, name] = this.#options.daemonSet?.split("/") ?? [];
    if (namespace === undefined || name === undefined) return false;
    try {
      const { status, text } = await get(this.#access(), `/apis/apps/v1/namespaces/${namespace}/daemonsets/${name}`);
      // An account that may not ask any more went with the whole installation; with it the plugin could ask for no pod either.
      if (status === 404 || status === 401 || status === 403) return false;
      const value = JSON.parse(text) as unknown;
      const metadata = isFields(value) ? value["metadata"] : undefined;
      if (status === 200 && isFields(metadata)) return metadata["deletionTimestamp"] === undefined;
      this.#say(`cannot tell whether another one follows: the API server answered ${status}`);
    } catch (error) {
      this.#say(`cannot tell whether another one follows: ${describeError(error)}`);
    }
    // Pods of a node without the plugin start unprotected or not at all; files that nobody needs do no harm.
    return true;
  }
}
