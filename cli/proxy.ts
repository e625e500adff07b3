// `heddle proxy`: runs a proxy from a bootstrap in Envoy's format, or says all that is wrong with one.
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Bootstrap } from "#config/model/bootstrap.ts";
import { BootstrapError, formatProblem } from "#config/bootstrap/problem.ts";
import { need, parseChoice, parseWhole } from "./arguments.ts";
import { exitCodes, makeCommand, type Context, type ExitCode } from "./command.ts";
import { UnreachableError } from "./http-json.ts";

export const proxyCommand = makeCommand({
  name: "proxy",
  summary: "runs a proxy from a bootstrap in Envoy's format",
  usage: "-c FILE [--validate] [--allow-unsupported PATH]... [--concurrency N] [--log-level LEVEL]",
  details: `FILE is an Envoy bootstrap in YAML or JSON: node, admin, static_resources, dynamic_resources with ads_config; one file runs
Envoy and Heddle. A field that Heddle does not have is an error that names its path, never ignored. Prints one JSON line
{"message":"ready",...} when its listeners are open; SIGTERM drains: running requests are finished within the drain time.`,
  options: {
    config: { type: "string", short: "c", value: "FILE", help: "the bootstrap" },
    validate: { type: "boolean", help: "only list everything that is wrong with the bootstrap" },
    "allow-unsupported": {
      type: "string",
      multiple: true,
      value: "PATH",
      help: "ignore this field though Heddle does not have it: a path, or a field's full name",
    },
    concurrency: { type: "string", value: "N", help: "data threads (default: what the bootstrap says, else 1)" },
    "log-level": { type: "string", value: "LEVEL", default: "info", help: "debug, info, warn or error" },
  },
  examples: [
    ["heddle proxy -c bootstrap.yaml", "runs it"],
    ["heddle proxy --validate -c envoy.yaml", "every error with line and column, before anything is opened"],
    [
      "heddle proxy -c envoy.yaml --allow-unsupported static_resources.listeners[0].listener_filters_timeout",
      "lets one field through by name",
    ],
  ],
  exits: { 0: "drained after a signal; with --validate: no errors", 1: "the bootstrap has errors, or a port is taken" },
  positionals: { least: 0, most: 0 },
  async run({ values }, context) {
    const configFile = need(values.config, "-c FILE");
    const allowUnsupported = values["allow-unsupported"];
    const concurrency =
      values.concurrency === undefined ? undefined : parseWhole(values.concurrency, "--concurrency", 1, 256);
    const logLevel = parseChoice(values["log-level"], "--log-level", ["debug", "info", "warn", "error"]);
    try {
      if (values.validate) return await validate(configFile, allowUnsupported, context);
      const { runProxy } = await import("#proxy/main.ts");
      const file = path.resolve(context.folder, configFile);
      try {
        await runProxy({ configFile: file, allowUnsupported, concurrency, logLevel });
      } catch (error) {
        // What only a data thread has found is said with its place in the file, where the bootstrap is to blame.
        if (!(error instanceof BootstrapError)) await load(configFile, allowUnsupported, context);
        throw error;
      }
      return exitCodes.done;
    } catch (error) {
      if (!(error instanceof BootstrapError)) throw error;
      for (const problem of error.problems) context.writeError(`${formatProblem(problem)}\n`);
      context.writeError(`${configFile}: ${error.problems.length} error(s)\n`);
      return exitCodes.failed;
    }
  },
});

async function validate(configFile: string, allowUnsupported: readonly string[], context: Context): Promise<ExitCode> {
  const { node, listeners, clusters } = await load(configFile, allowUnsupported, context);
  const who = node.id === "" ? "no node id" : `node ${node.id}`;
  context.write(`${configFile}: valid (${who}, ${listeners.length} listeners, ${clusters.length} clusters)\n`);
  return exitCodes.done;
}

/** Reads the bootstrap with all that can be checked before a port is opened. */
async function load(configFile: string, allowUnsupported: readonly string[], context: Context): Promise<Bootstrap> {
  const text = readBootstrapFile(configFile, context);
  const { loadBootstrap } = await import("#config/bootstrap/load-bootstrap.ts");
  const { checkFilter, knownFilterTypes, loadFilterChecks } = await import("#filters/standard.ts");
  await loadFilterChecks();
  return loadBootstrap(text, configFile, {
    knownFilters: knownFilterTypes,
    checkFilter,
    allowUnsupported: new Set(allowUnsupported),
    readFile: (file) => readFileSync(file),
    readVariable: (name) => context.env[name],
  });
}

function readBootstrapFile(configFile: string, context: Context): string {
  try {
    return readFileSync(path.resolve(context.folder, configFile), "utf8");
  } catch (error) {
    throw new UnreachableError(`Cannot read "${configFile}": there is no such file, or it is not readable`, {
      cause: error,
    });
  }
}
