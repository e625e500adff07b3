// One shell that lives through a whole page of the manual: its functions and variables are the reader's.
import { type ChildProcess, spawn } from "node:child_process";

export interface Ran {
  /** Of both its outputs, in their order. */
  readonly printed: string;
  readonly code: number;
}

export class Shell {
  readonly #shell: ChildProcess;
  #count = 0;
  #printed = "";

  constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.#shell = spawn("bash", [], { cwd: folder, env, stdio: ["pipe", "pipe", "pipe"] });
    for (const stream of [this.#shell.stdout, this.#shell.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#printed += text;
        this.#shell.emit("printed");
      });
    }
  }

  /** Runs commands, the first that fails being the last; gives what they printed and the exit code. */
  async run(commands: string): Promise<Ran> {
    const mark = `--- step ${++this.#count} ended with `;
    // A subshell for its -e would lose the functions that the page defines.
    const guarded = `set -e -o pipefail; trap 'code=$?; echo "${mark}$code"' EXIT`;
    const isDefinition = /^\w+\(\) \{/m.test(commands);
    const text = isDefinition
      ? `{ ${commands}\n} </dev/null; echo "${mark}$?"`
      : `( ${guarded}\n${commands}\n) </dev/null`;
    this.#printed = "";
    this.#shell.stdin?.write(`${text}\n`);
    const ended = new RegExp(`${RegExp.escape(mark)}(\\d+)\n`);
    for (;;) {
      const [found, code] = ended.exec(this.#printed) ?? [];
      if (found !== undefined) return { printed: this.#printed.replace(found, ""), code: Number(code) };
      await new Promise((resolve) => this.#shell.once("printed", resolve));
    }
  }

  end(): void {
    this.#shell.kill();
  }
}
