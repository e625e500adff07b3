// `heddle inject`: puts the proxy into the pods and pod templates of YAML, as the webhook would.
import { readFileSync } from "node:fs";
import path from "node:path";
import { editYaml } from "#config/load/yaml-edit.ts";
import { ConfigError } from "#config/load/config-error.ts";
import { InjectionError } from "#control-plane/kubernetes/injector/injection-error.ts";
import { defaultInjectionSettings, parseInjectionSettings } from "#control-plane/kubernetes/injector/settings.ts";
import { injectObject, removeFromObject } from "#control-plane/kubernetes/injector/workloads.ts";
import { need } from "../arguments.ts";
import { exitCodes, makeCommand, type Context } from "../command.ts";
import { UnreachableError } from "../http-json.ts";
import { VERSION } from "../version.ts";

const STANDARD_INPUT = 0;

export const injectCommand = makeCommand({
  name: "inject",
  summary: "puts the proxy into the pods of YAML, as the webhook would",
  usage: "-f FILE|- [--settings FILE] [--namespace NAME] [--undo]",
  details: `Reads Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, CronJobs and Lists of them, and prints
all documents, others as they are, with comments. What is skipped, and why, goes to standard error. The settings are those of the
control plane: kubectl -n heddle-system get configmap heddle-injector -o jsonpath='{.data.settings\\.yaml}'. --undo takes the proxy out again.`,
  options: {
    file: { type: "string", short: "f", value: "FILE", help: "YAML or JSON; - is standard input" },
    settings: { type: "string", value: "FILE", help: "settings of injection (default: the chart's own defaults)" },
    namespace: { type: "string", short: "n", value: "NAME", default: "default", help: "of objects that name none" },
    undo: { type: "boolean", help: "takes out what the injector put in" },
  },
  examples: [
    ["heddle inject -f shop.yaml | kubectl apply -f -", "applies the workloads with their proxies"],
    ["heddle inject -f shop.yaml --settings settings.yaml > injected.yaml", "for Git"],
    ["heddle inject -f injected.yaml --undo", "what it was before"],
  ],
  exits: { 1: "a pod is refused; nothing is printed", 3: "FILE does not exist" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const file = need(values.file, "-f FILE");
    const settings =
      values.settings === undefined
        ? defaultInjectionSettings(VERSION)
        : parseInjectionSettings(readText(values.settings, context), values.settings, VERSION);
    const notes: string[] = [];
    const edit = (value: unknown): unknown => {
      const change = values.undo
        ? removeFromObject(value)
        : injectObject(value, { namespace: values.namespace, settings, version: VERSION });
      notes.push(...change.notes);
      return change.value;
    };
    try {
      context.write(editYaml(readText(file, context), file === "-" ? "standard input" : file, edit));
    } catch (error) {
      if (!(error instanceof InjectionError || error instanceof ConfigError)) throw error;
      const message = error instanceof ConfigError ? error.format() : `${error.message} [${error.code}]`;
      context.writeError(`${message}\n`);
      return exitCodes.failed;
    }
    for (const note of notes) context.writeError(`${note}\n`);
    return exitCodes.done;
  },
});

/** @throws {UnreachableError} */
function readText(file: string, context: Context): string {
  try {
    return readFileSync(file === "-" ? STANDARD_INPUT : path.resolve(context.folder, file), "utf8");
  } catch (error) {
    throw new UnreachableError(`Cannot read "${file}": there is no such file, or it is not readable`, { cause: error });
  }
}
