// `heddle-init install-cni`: what the DaemonSet runs on each node.
import { createServer } from "node:http";
import { once } from "node:events";
import path from "node:path";
import { UsageError, parseWhole } from "../../arguments.ts";
import { exitCodes, makeCommand } from "../../command.ts";
import { untilTerminated } from "../../signals.ts";
import { VERSION } from "../../version.ts";
import { systemFolders } from "../iptables.ts";
import { interceptionOptions, parseInterception, variableOf } from "../settings.ts";
import { Installer } from "./installer.ts";

const OPTIONS = {
  ...interceptionOptions,
  "bin-dir": { type: "string", value: "DIR", help: "the node's folder of CNI plugins (default: /host/opt/cni/bin)" },
  "conf-dir": { type: "string", value: "DIR", help: "its folder of CNI configurations (default: /host/etc/cni/net.d)" },
  "host-conf-dir": { type: "string", value: "DIR", help: "where that folder is on the node (default: /etc/cni/net.d)" },
  log: { type: "string", value: "FILE", help: "the plugin's log on the node (default: /var/log/heddle-cni.log)" },
  "account-dir": {
    type: "string",
    value: "DIR",
    help: "token and ca.crt for the API server (default: the pod's ServiceAccount)",
  },
  daemonset: { type: "string", value: "NAMESPACE/NAME", help: "our own; while it exists, an end removes nothing" },
  "ready-port": {
    type: "string",
    value: "PORT",
    help: "GET /ready says whether the plugin is in force (default: 15021)",
  },
} as const;

export const installCommand = makeCommand({
  program: "heddle-init",
  name: "install-cni",
  summary: "puts the CNI plugin onto a node and keeps it there",
  usage: "[--daemonset NAMESPACE/NAME] [the options of redirect, for every pod of the node]",
  details: `Copies Node, this bundle, iptables and their libraries, adds the plugin to the first CNI configuration, and adds it again when
another agent has rewritten that. SIGTERM removes it. Each option has an environment variable: --bin-dir is HEDDLE_CNI_BIN_DIR.`,
  options: OPTIONS,
  examples: [["heddle-init install-cni --daemonset heddle-system/heddle-cni", "in the DaemonSet's container"]],
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const { env } = context;
    const get = (name: Exclude<keyof typeof OPTIONS, keyof typeof interceptionOptions>, preset: string): string =>
      values[name] ?? (env[variableOf(`cni-${name}`)] || preset);
    // Said here rather than for each pod.
    parseInterception(values, env);
    const names = Object.keys(interceptionOptions) as (keyof typeof interceptionOptions)[]; // as: its own keys
    const presets = Object.fromEntries(
      names.map((name) => [name, values[name] ?? env[variableOf(name)] ?? ""]).filter(([, text]) => text !== ""),
    ) as Record<string, string>; // as: pairs of strings
    const daemonSet = get("daemonset", "");
    if (daemonSet !== "" && !/^[a-z0-9-]+\/[a-z0-9.-]+$/.test(daemonSet))
      throw new UsageError(`--daemonset must be NAMESPACE/NAME: got "${daemonSet}"`);
    const readyPort = parseWhole(get("ready-port", "15021"), "--ready-port", 0, 65_535);
    const resolve = (name: string): string => path.resolve(context.folder, name);
    const installer = new Installer(
      {
        binFolder: resolve(get("bin-dir", "/host/opt/cni/bin")),
        confFolder: resolve(get("conf-dir", "/host/etc/cni/net.d")),
        hostConfFolder: get("host-conf-dir", "/etc/cni/net.d"),
        log: get("log", "/var/log/heddle-cni.log"),
        accountFolder: resolve(get("account-dir", "/var/run/secrets/kubernetes.io/serviceaccount")),
        server: serverOf(env),
        daemonSet: daemonSet === "" ? undefined : daemonSet,
        presets,
        sources: {
          node: process.execPath,
          bundle: context.entry,
          toolFolders: systemFolders(env).folders,
          env,
        },
        installId: `${VERSION}-${Date.now().toString(36)}`,
      },
      (line) => context.write(`heddle-cni: ${line}\n`),
    );
    const ending = untilTerminated();
    installer.start();
    const server = createServer((_, response) => {
      response.writeHead(installer.isReady ? 200 : 503).end(installer.isReady ? "ready\n" : "not ready\n");
    });
    server.listen(readyPort);
    await once(server, "listening");
    const address = server.address();
    context.write(`heddle-cni: ready is told on port ${typeof address === "object" ? (address?.port ?? 0) : 0}\n`);
    if (!ending.signal.aborted) await once(ending.signal, "abort");
    server.close();
    await installer.stop();
    ending.dispose();
    return exitCodes.done;
  },
});

/** The kubelet tells every container. @throws {UsageError} */
function serverOf(env: Readonly<Record<string, string | undefined>>): string {
  const host = env["KUBERNETES_SERVICE_HOST"] ?? "";
  if (host === "") throw new UsageError("KUBERNETES_SERVICE_HOST is needed: install-cni runs in a pod");
  return `https://${host.includes(":") ? `[${host}]` : host}:${env["KUBERNETES_SERVICE_PORT"] ?? "443"}`;
}
