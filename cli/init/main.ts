// `heddle-init`: what prepares pods and nodes for the proxy. One file without chunks, so that the CNI plugin is one file to copy.
import { suggest } from "#config/schema/suggest.ts";
import { UsageError } from "../arguments.ts";
import { exitCodes, type Command, type Context, type ExitCode } from "../command.ts";
import { columns } from "../help.ts";
import { VERSION } from "../version.ts";
import { cniCommand } from "./cni/command.ts";
import { installCommand } from "./install/command.ts";
import { cleanCommand, redirectCommand } from "./redirect-command.ts";
import { verifyCommand } from "./verify-command.ts";

const COMMANDS: readonly Command[] = [redirectCommand, cleanCommand, verifyCommand, cniCommand, installCommand];

/** Runs one command by name. @throws {UsageError} when there is none of that name. */
export async function runInit(args: readonly string[], context: Context): Promise<ExitCode> {
  const [name = "--help", ...rest] = args;
  if (name === "--version") {
    context.write(`${VERSION}\n`);
    return exitCodes.done;
  }
  if (name === "--help" || name === "-h") {
    const rows = COMMANDS.map((command) => [command.name, command.summary] as const);
    context.write(`heddle-init COMMAND [OPTIONS]\n\nCommands:\n${columns(rows)}\n`);
    return args.length === 0 ? exitCodes.usage : exitCodes.done;
  }
  const command = COMMANDS.find((one) => one.name === name);
  if (command === undefined) {
    const near = suggest(
      name,
      COMMANDS.map((one) => one.name),
    );
    throw new UsageError(`Unknown command "${name}"${near === undefined ? "" : ` (did you mean ${near}?)`}`);
  }
  return command.run(rest, context);
}
