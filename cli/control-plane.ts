// `heddle control-plane`: runs the control plane in this process.
import { exitCodes, makeCommand } from "./command.ts";
import { settingOptions } from "#control-plane/settings.ts";
import { DEFAULT_STATE_FOLDER } from "./state-folder.ts";
import { VERSION } from "./version.ts";
import { untilTerminated } from "./signals.ts";

export const controlPlaneCommand = makeCommand({
  name: "control-plane",
  summary: "runs the control plane",
  usage: "--config FOLDER | --kubernetes [--state DIR] [OPTIONS]",
  details: `Watches a folder of YAML, a Kubernetes cluster, or both, and serves proxies what follows from it over xDS, certificates included. Prints one JSON line
{"message":"ready",...} when every port is open. SIGTERM and SIGINT end it, a second one at once; proxies go on with
what they have. Each option may be given in the environment instead: --log-level as HEDDLE_LOG_LEVEL.`,
  options: settingOptions,
  examples: [
    ["heddle control-plane --config mesh", "with its state in .heddle"],
    ["heddle control-plane --config mesh --state /var/lib/heddle --secure-address 0.0.0.0:15012", "for other machines"],
    ["heddle control-plane --kubernetes", "what the pods of the Helm chart run"],
  ],
  exits: { 0: "ended by a signal", 1: "it could not start: a port is taken, the folder cannot be read" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const { runControlPlane } = await import("#control-plane/main.ts");
    const given = { ...values, state: values.state ?? (context.env["HEDDLE_STATE"] || DEFAULT_STATE_FOLDER) };
    const argv = Object.entries(given).flatMap(([name, value]) => {
      if (typeof value === "boolean") return value ? [`--${name}`] : [];
      return value === undefined ? [] : [`--${name}=${value}`];
    });
    const { signal, hurry } = untilTerminated();
    // Nothing of ours is half done on disk: files are replaced in one step.
    hurry.addEventListener("abort", () => process.exit(exitCodes.failed), { once: true });
    const write = (line: string): void => context.write(line);
    const code = await runControlPlane({
      argv,
      env: context.env,
      version: VERSION,
      write,
      writeError: (line) => context.writeError(line),
      signal,
    });
    return code === 0 ? exitCodes.done : code;
  },
});
