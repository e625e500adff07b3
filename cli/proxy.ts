// `heddle proxy`: runs a proxy from a bootstrap in Envoy's format, or says all that is wrong with one.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { readApplication } from "#config/kubernetes/application.ts";
import type { Bootstrap } from "#config/model/bootstrap.ts";
import { BootstrapError, formatProblem } from "#config/bootstrap/problem.ts";
import type { LogLevel } from "#lib/log.ts";
import { need, parseChoice, parseWhole, UsageError } from "./arguments.ts";
import { exitCodes, makeCommand, type Context, type ExitCode } from "./command.ts";
import { UnreachableError } from "./http-json.ts";

export const proxyCommand = makeCommand({
  name: "proxy",
  summary: "runs a proxy from a bootstrap in Envoy's format",
  usage: "-c FILE | --kubernetes [--validate] [--allow-unsupported PATH]... [--concurrency N] [--log-level LEVEL]",
  details: `FILE is an Envoy bootstrap in YAML or JSON: node, admin, static_resources, dynamic_resources with ads_config; one file runs
Envoy and Heddle. A field that Heddle does not have is an error that names its path, never ignored. Prints one JSON line
{"message":"ready",...} when its listeners are open; SIGTERM drains: running requests are finished within the drain time.
With --kubernetes there is no file: POD_NAME, POD_NAMESPACE, SERVICE_ACCOUNT and HEDDLE_CONTROL_PLANE say who it is and whom it asks
(docs/identity.md has them all).`,
  options: {
    config: { type: "string", short: "c", value: "FILE", help: "the bootstrap" },
    kubernetes: { type: "boolean", help: "in a pod: the environment that the injector wrote is the bootstrap" },
    validate: { type: "boolean", help: "only list everything that is wrong with the bootstrap" },
    "allow-unsupported": {
      type: "string",
      multiple: true,
      value: "PATH",
      help: "ignore this field though Heddle does not have it: a path, or a field's full name",
    },
    concurrency: { type: "string", value: "N", help: "data threads (default: what the bootstrap says, else 1)" },
    "log-level": { type: "string", value: "LEVEL", help: "debug, info (default), warn or error" },
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
    const allowUnsupported = values["allow-unsupported"];
    const concurrency =
      values.concurrency === undefined ? undefined : parseWhole(values.concurrency, "--concurrency", 1, 256);
    const logLevel = parseLogLevel(values["log-level"] ?? (values.kubernetes ? context.env["HEDDLE_LOG_LEVEL"] : ""));
    const source = await findBootstrap(values.kubernetes, values.config, context);
    try {
      if (values.validate) return await validate(source, allowUnsupported, context);
      const { runProxy } = await import("#proxy/main.ts");
      const configFile = path.resolve(context.folder, source.name);
      try {
        const application = values.kubernetes ? readApplication(context.env) : undefined;
        await runProxy({ configFile, configText: source.text, allowUnsupported, concurrency, logLevel, application });
      } catch (error) {
        // What only a data thread has found is said with its place in the file, where the bootstrap is to blame.
        if (!(error instanceof BootstrapError)) await load(source, allowUnsupported, context);
        throw error;
      }
      return exitCodes.done;
    } catch (error) {
      if (!(error instanceof BootstrapError)) throw error;
      for (const problem of error.problems) context.writeError(`${formatProblem(problem)}\n`);
      context.writeError(`${source.name}: ${error.problems.length} error(s)\n`);
      return exitCodes.failed;
    }
  },
});

/** `text`: there is no file, this is what it would hold. */
interface BootstrapSource {
  readonly name: string;
  readonly text?: string;
}

async function findBootstrap(
  inPod: boolean,
  configFile: string | undefined,
  context: Context,
): Promise<BootstrapSource> {
  if (!inPod) return { name: need(configFile, "-c FILE") };
  if (configFile !== undefined) throw new UsageError("--kubernetes has no file: leave -c out");
  const { makePodBootstrap } = await import("#config/bootstrap/pod-bootstrap.ts");
  // The kernel has this file exactly when it knows IPv6; a socket on [::] then serves IPv4 too.
  const hasIpv6 = existsSync("/proc/net/if_inet6");
  return { name: "the pod's environment", text: JSON.stringify(makePodBootstrap({ env: context.env, hasIpv6 })) };
}

function parseLogLevel(text: string | undefined): LogLevel {
  return parseChoice(text === undefined || text === "" ? "info" : text, "--log-level", [
    "debug",
    "info",
    "warn",
    "error",
  ]);
}

async function validate(
  source: BootstrapSource,
  allowUnsupported: readonly string[],
  context: Context,
): Promise<ExitCode> {
  const { node, listeners, clusters } = await load(source, allowUnsupported, context);
  const who = node.id === "" ? "no node id" : `node ${node.id}`;
  context.write(`${source.name}: valid (${who}, ${listeners.length} listeners, ${clusters.length} clusters)\n`);
  return exitCodes.done;
}

/** Reads the bootstrap with all that can be checked before a port is opened. */
async function load(
  source: BootstrapSource,
  allowUnsupported: readonly string[],
  context: Context,
): Promise<Bootstrap> {
  const text = source.text ?? readBootstrapFile(source.name, context);
  const { loadBootstrap } = await import("#config/bootstrap/load-bootstrap.ts");
  const { checkFilter, knownFilterTypes, loadFilterChecks } = await import("#filters/standard.ts");
  await loadFilterChecks();
  return loadBootstrap(text, source.name, {
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
