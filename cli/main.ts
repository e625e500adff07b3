// `heddle`: finds the command, runs it, and turns whatever happens into an exit code.
import { suggest } from "#config/schema/suggest.ts";
import { UsageError } from "./arguments.ts";
import { exitCodes, type Command, type Context, type ExitCode } from "./command.ts";
import { columns } from "./help.ts";
import { runProcess, runToExitCode } from "./process.ts";
import { VERSION } from "./version.ts";

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Only the command that is wanted is loaded: a proxy must not carry the control plane. */
  load(): Promise<Command>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: "up",
    summary: "runs a whole mesh on this machine",
    load: async () => (await import("./up/command.ts")).upCommand,
  },
  {
    name: "proxy",
    summary: "runs a proxy from a bootstrap in Envoy's format",
    load: async () => (await import("./proxy.ts")).proxyCommand,
  },
  {
    name: "control-plane",
    summary: "runs the control plane",
    load: async () => (await import("./control-plane.ts")).controlPlaneCommand,
  },
  {
    name: "bootstrap",
    summary: "writes the bootstrap and the join token of one sidecar",
    load: async () => (await import("./bootstrap.ts")).bootstrapCommand,
  },
  {
    name: "token",
    summary: "issues a join token for one workload",
    load: async () => (await import("./token.ts")).tokenCommand,
  },
  {
    name: "analyze",
    summary: "checks a folder of YAML, offline",
    load: async () => (await import("./analyze.ts")).analyzeCommand,
  },
  {
    name: "inject",
    summary: "puts the proxy into the pods of YAML, as the webhook would",
    load: async () => (await import("./inject/command.ts")).injectCommand,
  },
  {
    name: "status",
    summary: "shows proxies, what they have applied, and errors of configuration",
    load: async () => (await import("./status/command.ts")).statusCommand,
  },
  {
    name: "dump",
    summary: "prints what one proxy has: configuration, clusters, listeners, statistics",
    load: async () => (await import("./dump.ts")).dumpCommand,
  },
  {
    name: "explain",
    summary: "says why a request was answered as it was",
    load: async () => (await import("./explain/command.ts")).explainCommand,
  },
];

const HELP = `heddle COMMAND [OPTIONS]

A sidecar service mesh: one program for both planes and for looking at them.

Commands:
${columns(commands.map(({ name, summary }) => [name, summary] as const))}

Examples:
  heddle analyze examples/shop/mesh
      checks a folder of YAML without a mesh
  heddle up examples/shop/mesh
      runs the control plane and every sidecar of the folder on this machine
  heddle explain 7f0c2f8e-6f0b-4f43-9df0-1e2f3a4b5c6d
      says why a request was answered as it was
  heddle COMMAND --help
      all options of a command, with examples

Exit codes:
  0  done, or the answer is yes
  1  failed, or the answer is no
  2  the command line is wrong
  3  something that is needed does not answer or does not exist
`;

/** Runs one command line. Never rejects. */
export async function runCommandLine(args: readonly string[], context: Context): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    const about = await commands.find((command) => command.name === rest[0])?.load();
    if (name === undefined) context.writeError(HELP);
    else context.write(about?.help ?? HELP);
    return name === undefined ? exitCodes.usage : exitCodes.done;
  }
  if (name === "--version" || name === "version") {
    context.write(`heddle ${VERSION} (Node ${process.version})\n`);
    return exitCodes.done;
  }
  const command = commands.find((candidate) => candidate.name === name);
  return runToExitCode(async () => {
    if (command === undefined) throw new UsageError(unknownCommand(name));
    return (await command.load()).run(rest, context);
  }, context);
}

function unknownCommand(name: string): string {
  const near = suggest(
    name,
    commands.map((command) => command.name),
  );
  return `Unknown command "${name}"${near === undefined ? "" : ` (did you mean ${near}?)`}. heddle --help lists them all`;
}

/** Runs this process's own command line; sets its exit code. */
export async function main(): Promise<void> {
  await runProcess(runCommandLine);
}

// Not awaited: commands are loaded later, and what they share with this file would wait for it.
if (import.meta.main) void main();
