// What is wrong with a bootstrap, and where: one problem, and the error that holds them all.
import { HeddleError } from "#lib/errors.ts";
import type { ConfigErrorCode, Position } from "../load/config-error.ts";

/** The loader's codes, and one for what Envoy has and Heddle has not: `--allow-unsupported PATH` lets that through. */
export type ProblemCode = ConfigErrorCode | "HDL_BOOTSTRAP_UNSUPPORTED";

export interface BootstrapProblem extends Position {
  readonly code: ProblemCode;
  readonly file: string;
  /** Envoy's names: `static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix`. */
  readonly path: string;
  readonly message: string;
  readonly hint: string | undefined;
}

/** One line for people and editors: `file:line:column: error: path: message (hint) [code]`. */
export function formatProblem(problem: BootstrapProblem): string {
  const { code, column, file, hint, line, message, path } = problem;
  const where = path === "" ? "" : `${path}: `;
  return `${file}:${line}:${column}: error: ${where}${message}${hint === undefined ? "" : ` (${hint})`} [${code}]`;
}

/** A bootstrap that cannot be taken; `problems` has all that is wrong with it, in the order of the file. Code `HDL_BOOTSTRAP`. */
export class BootstrapError extends HeddleError {
  readonly problems: readonly BootstrapProblem[];

  constructor(fileName: string, problems: readonly BootstrapProblem[]) {
    const sorted = problems.toSorted((left, right) => left.line - right.line || left.column - right.column);
    const lines = sorted.map((problem) => `\n  ${formatProblem(problem)}`);
    super("HDL_BOOTSTRAP", `Cannot start with ${fileName}: ${sorted.length} problem(s)${lines.join("")}`);
    this.problems = sorted;
  }
}
