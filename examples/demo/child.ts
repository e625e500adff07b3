// One process of the demo: started, waited for until it says ready, its lines read, ended by its own id.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { createInterface } from "node:readline";

/** How a process is started. */
export interface Command {
  /** For messages and the name of its log file. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Where its output is kept. */
  readonly logFile: string;
  /** Called with every line of its output and of its errors. */
  readonly onLine?: (line: string) => void;
}

/** A process may take this long to become ready; starting thirty at once on a busy machine is slow. */
const READY_MS = 120_000;
/** After SIGTERM a process has this long to drain before it is killed. */
const STOP_MS = 30_000;
/** Last lines kept for messages. */
const KEPT_LINES = 20;

export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #tail: string[] = [];

  private constructor(command: Command, child: ChildProcess, log: WriteStream) {
    this.name = command.name;
    this.#process = child;
    this.#exited = once(child, "close").then(() => {
      log.end();
    });
  }

  /** Starts a process and waits for its ready line. Rejects, with its last words, when it ends before that. */
  static async start(command: Command): Promise<Child> {
    const log = createWriteStream(command.logFile, { flags: "a" });
    const process_ = spawn(command.file, [...command.args], {
      env: { ...process.env, ...command.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const child = new Child(command, process_, log);
    const ready = Promise.withResolvers<void>();
    const onLine = (line: string): void => {
      log.write(`${line}\n`);
      child.#tail.push(line);
      if (child.#tail.length > KEPT_LINES) child.#tail.shift();
    };
    createInterface({ input: process_.stdout }).on("line", (line) => {
      onLine(line);
      if (isReady(line)) ready.resolve();
      command.onLine?.(line);
    });
    createInterface({ input: process_.stderr }).on("line", (line) => {
      onLine(line);
      if (isReady(line)) ready.resolve();
      command.onLine?.(line);
    });
    process_.once("error", ready.reject);
    process_.once("exit", (code, signal) => {
      ready.reject(
        new Error(`${command.name} ended before it was ready (${signal ?? code}):\n${child.#tail.join("\n")}`),
      );
    });
    const limit = setTimeout(() => {
      ready.reject(new Error(`${command.name} was not ready after ${READY_MS} ms:\n${child.#tail.join("\n")}`));
      process_.kill("SIGKILL");
    }, READY_MS);
    try {
      await ready.promise;
    } finally {
      clearTimeout(limit);
    }
    return child;
  }

  /** The process id; 0 when it never started. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** kill -9, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.isRunning) this.#process.kill("SIGKILL");
    await this.#exited;
  }

  /** SIGTERM; resolves with the exit code when it is gone (-1: it had to be killed). */
  async stop(): Promise<number> {
    if (!this.isRunning) return this.#process.exitCode ?? -1;
    this.#process.kill("SIGTERM");
    const limit = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS);
    await this.#exited;
    clearTimeout(limit);
    return this.#process.exitCode ?? -1;
  }
}

/** Applications say `{"ready":true}`, Heddle's servers `{"message":"ready"}`. */
function isReady(line: string): boolean {
  if (!line.startsWith("{") || !line.includes("ready")) return false;
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null) return false;
    return ("ready" in record && record.ready === true) || ("message" in record && record.message === "ready");
  } catch {
    return false;
  }
}

/** Runs a command to its end and gives its output; never throws for an exit code. */
export async function runToEnd(
  file: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(file, [...args], { stdio: ["ignore", "pipe", "pipe"] });
  const closed = once(child, "close");
  const [stdout, stderr] = await Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  await closed;
  return { code: child.exitCode ?? -1, stdout, stderr };
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}
