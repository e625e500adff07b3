// One server that `heddle up` runs: started, waited for until it says that it is ready, its lines passed on, ended by its own id.
import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { HeddleError } from "#lib/errors.ts";

/** A server did not become ready. Code `HDL_CLI_START`. */
export class StartError extends HeddleError {
  constructor(message: string) {
    super("HDL_CLI_START", message);
  }
}

export interface ServerCommand {
  /** What its lines begin with: `control-plane`, `shop/orders-1`. */
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface ServerHooks {
  /** Each line of its output and of its errors. */
  onLine(name: string, line: string): void;
  /** It ended, and nobody had asked it to. */
  onLost(name: string, how: string): void;
}

/** Last lines kept for the message of a failed start. */
const KEPT_LINES = 12;

//   starting --ready line--> ready --stop()--> stopping --exit--> gone
//       \--------------------- exit: onLost (ready) or StartError (starting) ------/
export class SupervisedServer {
  readonly name: string;
  /** Resolves at the ready line; rejects when the process ends before it. */
  readonly ready: Promise<void>;
  readonly #child: ChildProcess;
  readonly #closed: Promise<void>;
  readonly #tail: string[] = [];
  #isReady = false;
  #isStopping = false;

  constructor(command: ServerCommand, hooks: ServerHooks) {
    this.name = command.name;
    // A group of its own: Ctrl-C goes to `heddle up` alone, which ends all in order.
    this.#child = spawn(command.file, [...command.args], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      ...(command.env === undefined ? {} : { env: command.env }),
    });
    const ready = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#closed = closed.promise;
    // Whoever stops a server that is starting does not wait for it to be ready.
    this.ready.catch(() => undefined);
    const onLine = (line: string): void => {
      if (!this.#isReady && isReadyLine(line)) {
        this.#isReady = true;
        ready.resolve();
      }
      this.#tail.push(line);
      if (this.#tail.length > KEPT_LINES) this.#tail.shift();
      hooks.onLine(this.name, line);
    };
    for (const stream of [this.#child.stdout, this.#child.stderr])
      if (stream !== null) createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on("line", onLine);
    this.#child.once("error", (error) => {
      ready.reject(new StartError(`Cannot start ${this.name}: ${error.message}`));
      closed.resolve();
    });
    this.#child.once("close", (code, signal) => {
      const how = signal === null ? `code ${code ?? 0}` : signal;
      if (this.#isReady && !this.#isStopping) hooks.onLost(this.name, how);
      ready.reject(new StartError(`${this.name} ended with ${how} before it was ready:\n${this.#tail.join("\n")}`));
      closed.resolve();
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** SIGKILL, at once. */
  kill(): void {
    this.#isStopping = true;
    this.#child.kill("SIGKILL");
  }

  /** SIGTERM, and SIGKILL when it is still there after `graceMs`. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    this.#child.kill("SIGTERM");
    const limit = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    await this.#closed;
    clearTimeout(limit);
  }
}

/** `{"message":"ready",...}`, whatever else stands in the line. */
function isReadyLine(line: string): boolean {
  if (!line.startsWith("{") || !line.includes('"ready"')) return false;
  try {
    const record: unknown = JSON.parse(line);
    return typeof record === "object" && record !== null && "message" in record && record.message === "ready";
  } catch {
    return false;
  }
}
