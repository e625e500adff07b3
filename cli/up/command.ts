// `heddle up`: runs the mesh of a folder of YAML on this machine until it is told to end.
import { spawn, type ChildProcess } from "node:child_process";
import path from "node:path";
import { parseChoice, parseWhole } from "../arguments.ts";
import { exitCodes, makeCommand, type Context, type ExitCode } from "../command.ts";
import { readMeshFolder } from "../mesh-folder.ts";
import { untilTerminated } from "../signals.ts";
import { DEFAULT_STATE_FOLDER, planeAddresses } from "../state-folder.ts";
import { LocalMesh } from "./local-mesh.ts";

export const upCommand = makeCommand({
  name: "up",
  summary: "runs a whole mesh on this machine",
  usage: "FOLDER [--state DIR] [--offset N] [--log-level LEVEL] [-- COMMAND...]",
  details: `Starts a control plane for FOLDER and one proxy process for each endpoint there that has a sidecar block, at the ports that the
YAML names (a sidecar without adminPort or metricsPort gets free ones). Waits until all are ready, and passes their lines on, each
with its name in front. Edits of FOLDER are taken over at once; a workload that is added needs a new start, or heddle bootstrap and
heddle proxy. Nothing is restarted: a process that ends is reported, and the exit code is then 1. SIGINT and SIGTERM drain and end
all; a second one kills them.

With -- COMMAND, runs the command when all is ready, and ends everything with its exit code.`,
  options: {
    state: { type: "string", value: "DIR", default: DEFAULT_STATE_FOLDER, help: "folder of state (made 0700)" },
    offset: {
      type: "string",
      value: "N",
      default: "0",
      help: "added to the control plane's ports 15010, 15012 and 15014, for a second mesh on this machine",
    },
    "log-level": {
      type: "string",
      value: "LEVEL",
      default: "info",
      help: "debug, info, warn or error, for all processes",
    },
    quiet: { type: "boolean", help: "do not pass lines on, except of processes that fail" },
  },
  examples: [
    ["heddle up examples/shop/mesh", "the shop's mesh, until Ctrl-C"],
    ["heddle up mesh --offset 1000 --state /tmp/second", "a second mesh beside the first"],
    ["heddle up mesh --quiet -- npm run integration-tests", "a mesh for the time of a command"],
  ],
  exits: {
    0: "ended by a signal, all clean; with -- COMMAND: the command's own code",
    1: "a process could not start, or ended by itself; or the folder has errors",
  },
  positionals: { least: 1, most: 1 },
  async run({ values, positionals, rest }, context) {
    const offset = parseWhole(values.offset, "--offset", 0, 50_000);
    const logLevel = parseChoice(values["log-level"], "--log-level", ["debug", "info", "warn", "error"]);
    const mesh = await readMeshFolder(path.resolve(context.folder, positionals[0] ?? ""));
    const lost: string[] = [];
    const local = new LocalMesh({
      mesh,
      state: path.resolve(context.folder, values.state),
      addresses: planeAddresses(offset),
      nodeFile: process.execPath,
      entry: context.entry,
      logLevel,
      hooks: {
        onLine: (name, line) => {
          if (!values.quiet) context.write(`[${name}] ${line}\n`);
        },
        onLost: (name, how) => {
          lost.push(name);
          context.writeError(`heddle up: ${name} ended with ${how}; nothing restarts it, the others go on\n`);
        },
      },
    });
    const termination = untilTerminated();
    try {
      await startUnlessOver(local, termination.signal);
      if (termination.signal.aborted) return exitCodes.done;
      const addresses = planeAddresses(offset);
      context.write(`${JSON.stringify({ message: "ready", sidecars: mesh.sidecars.length, ...addresses })}\n`);
      const code = await (rest === undefined
        ? aborted(termination.signal)
        : runCommand(rest, termination.signal, context));
      return lost.length > 0 && code === 0 ? exitCodes.failed : code;
    } finally {
      termination.hurry.addEventListener("abort", () => local.kill(), { once: true });
      await local.stop();
      termination.dispose();
    }
  },
});

/** A signal in the middle of the start is no failure. */
async function startUnlessOver(local: LocalMesh, signal: AbortSignal): Promise<void> {
  const starting = local.start(() => signal.aborted);
  starting.catch(() => undefined);
  await Promise.race([starting, aborted(signal)]);
}

async function aborted(signal: AbortSignal): Promise<ExitCode> {
  if (!signal.aborted) {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
  return exitCodes.done;
}

/** The user's own command, in our terminal. Its exit code is ours. */
async function runCommand(args: readonly string[], signal: AbortSignal, context: Context): Promise<ExitCode> {
  const [file = "", ...rest] = args;
  const child: ChildProcess = spawn(file, rest, { stdio: "inherit", cwd: context.folder });
  const stop = (): void => {
    child.kill("SIGTERM");
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<ExitCode>((resolve) => {
      child.once("error", (error) => {
        context.writeError(`heddle up: cannot run ${file}: ${error.message}\n`);
        resolve(exitCodes.failed);
      });
      // 128 and the signal's number, as shells have it; SIGTERM is 15.
      child.once("close", (code, name) => resolve(code ?? (name === null ? 0 : 128 + 15)));
    });
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
