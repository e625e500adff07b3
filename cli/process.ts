// Runs a command as this process: its arguments, its output, and its exit code from whatever happens.
import { writeSync } from "node:fs";
import { describeError, HeddleError } from "#lib/errors.ts";
import { UsageError } from "./arguments.ts";
import { exitCodes, type Context, type ExitCode } from "./command.ts";
import { UnreachableError } from "./http-json.ts";

/** Sets the exit code when `run` ends. A server's command ends when the server does. */
export async function runProcess(run: (args: readonly string[], context: Context) => Promise<ExitCode>): Promise<void> {
  const context: Context = {
    write: (text) => writeAll(1, text),
    writeError: (text) => writeAll(2, text),
    entry: process.argv[1] ?? import.meta.filename,
    env: process.env,
    folder: process.cwd(),
  };
  process.exitCode = await runToExitCode(() => run(process.argv.slice(2), context), context);
}

/** Never rejects: what is thrown is told, and becomes an exit code. */
export async function runToExitCode(run: () => Promise<ExitCode>, context: Context): Promise<ExitCode> {
  try {
    return await run();
  } catch (error) {
    const code = error instanceof HeddleError ? ` [${error.code}]` : "";
    context.writeError(`heddle: ${describeError(error)}${code}\n`);
    if (error instanceof UsageError) return exitCodes.usage;
    if (error instanceof UnreachableError) return exitCodes.unreachable;
    // Nothing of ours: where it came from helps whoever reports it.
    if (!(error instanceof HeddleError) && error instanceof Error && context.env["HEDDLE_DEBUG"] !== undefined) {
      context.writeError(`${error.stack ?? ""}\n`);
    }
    return exitCodes.failed;
  }
}

/** All of it, also into a pipe whose reader is slow; a reader that has gone (`heddle dump | head`) is no error. */
function writeAll(file: 1 | 2, text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(file, bytes));
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EPIPE") return;
      if (code !== "EAGAIN") throw error;
      Atomics.wait(PAUSE, 0, 0, 2);
    }
  }
}

const PAUSE = new Int32Array(new SharedArrayBuffer(4));
