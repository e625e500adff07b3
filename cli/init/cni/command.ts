// `heddle-init cni`: the CNI plugin as a program. The wrapper that the installer puts onto the node starts it.
import { appendFileSync, readFileSync, renameSync, statSync } from "node:fs";
import path from "node:path";
import { describeError } from "#lib/errors.ts";
import { exitCodes, makeCommand, type Context } from "../../command.ts";
import { applyInterception, findMissing } from "../apply.ts";
import { makeIptables, systemFolders, type Iptables } from "../iptables.ts";
import { enterNetworkNamespace } from "../netns.ts";
import { NODE_LAYOUT, tryNodeTools } from "../node-layout.ts";
import { getAnnotations, readKubeconfig } from "./pod-metadata.ts";
import { runPlugin, type PluginHost } from "./plugin.ts";
import { CniError, cniCodes, formatError, isFields, type PluginConfig } from "./protocol.ts";

export const cniCommand = makeCommand({
  program: "heddle-init",
  name: "cni",
  summary: "is the CNI plugin: what a container runtime starts for each pod",
  usage: "",
  details: `Speaks CNI 0.3 to 1.1: CNI_COMMAND, CNI_NETNS and CNI_ARGS in the environment, the configuration on standard input. It must stand
behind the plugin that makes the pod's network. Pods whose annotation heddle.dev/sidecar does not say "cni" pass unchanged.`,
  options: {},
  examples: [["CNI_COMMAND=VERSION heddle-init cni", "what it speaks"]],
  positionals: { least: 0, most: 0 },
  async run(_, context) {
    const input = context.env["CNI_COMMAND"] === "VERSION" ? "" : readFileSync(0, "utf8");
    try {
      context.write(await runPlugin(input, makeHost(context)));
      return exitCodes.done;
    } catch (error) {
      const told = error instanceof CniError ? error : new CniError(cniCodes.notRedirected, describeError(error));
      context.write(formatError(told, versionOf(input)));
      return exitCodes.failed;
    }
  },
});

/** An error is told in the runtime's own version, even where the rest of its configuration is wrong. */
function versionOf(input: string): string {
  try {
    const value = JSON.parse(input) as unknown;
    if (isFields(value) && typeof value["cniVersion"] === "string") return value["cniVersion"];
  } catch {
    // Then nobody knows.
  }
  return "0.4.0";
}

function makeHost(context: Context): PluginHost {
  const toolsOf = (): Iptables => makeIptables(tryNodeTools(path.dirname(context.entry)) ?? systemFolders(context.env));
  return {
    env: context.env,
    getAnnotations: async ({ kubeconfig }, pod) => getAnnotations(readKubeconfig(kubeconfig), pod),
    apply: async (file, wanted) => {
      await enterNetworkNamespace(file);
      return applyInterception(wanted, toolsOf(), "auto");
    },
    findMissing: async (file, wanted) => {
      await enterNetworkNamespace(file);
      return findMissing(wanted, toolsOf());
    },
    log: writeLog,
  };
}

/** A log that cannot be written stops no pod. */
function writeLog({ log }: PluginConfig, line: string): void {
  if (log === "") return;
  try {
    if ((statSync(log, { throwIfNoEntry: false })?.size ?? 0) > NODE_LAYOUT.mostLogBytes) renameSync(log, `${log}.1`);
    appendFileSync(log, `${new Date().toISOString()} ${line}\n`);
  } catch {
    // There is nobody to tell.
  }
}
