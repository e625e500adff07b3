// `heddle analyze`: validates a folder of YAML offline, as the control plane would.
import { stat } from "node:fs/promises";
import path from "node:path";
import type { ConfigError } from "#config/load/config-error.ts";
import { analyze } from "#config/schema/analyze.ts";
import { parseChoice } from "./arguments.ts";
import { exitCodes, makeCommand } from "./command.ts";
import { UnreachableError } from "./http-json.ts";

export const analyzeCommand = makeCommand({
  name: "analyze",
  summary: "checks a folder of YAML, offline",
  usage: "FOLDER [--format text|json] [--strict]",
  details: `Loads every *.yaml and *.yml below FOLDER (or one file), checks each document against its kind and all of them against
one another, and prints one line for each problem: file:line:column: severity: message (hint) [code].`,
  options: {
    format: { type: "string", default: "text", value: "FORMAT", help: "text, or json for other programs" },
    strict: { type: "boolean", help: "count warnings as errors" },
  },
  examples: [
    ["heddle analyze examples/shop/mesh", "checks the example"],
    ["heddle analyze --format json mesh | jq '.problems[].message'", "the problems for another program"],
    ["heddle analyze --strict mesh", "for CI: a policy without effect is an error as well"],
  ],
  exits: { 0: "no errors", 1: "errors", 3: "FOLDER does not exist" },
  positionals: { least: 1, most: 1 },
  async run({ values, positionals }, context) {
    const format = parseChoice(values.format, "--format", ["text", "json"]);
    const folder = positionals[0] ?? "";
    await needFolder(path.resolve(context.folder, folder), folder);
    const { resources, errors, warnings } = await analyze(folder);
    const problems = [...errors, ...warnings].toSorted(inOrder);
    if (format === "json") {
      const summary = { errors: errors.length, warnings: warnings.length, resources: resources.length };
      context.write(`${JSON.stringify({ problems: problems.map(toJson), ...summary }, undefined, 2)}\n`);
    } else {
      for (const problem of problems) context.write(`${problem.format()}\n`);
      context.write(
        `${folder}: ${count(resources.length, "resource")}, ${count(errors.length, "error")}, ${count(warnings.length, "warning")}\n`,
      );
    }
    return errors.length > 0 || (values.strict && warnings.length > 0) ? exitCodes.failed : exitCodes.done;
  },
});

/** @throws {UnreachableError} */
export async function needFolder(folder: string, shown: string = folder): Promise<void> {
  try {
    await stat(folder);
  } catch (error) {
    throw new UnreachableError(`Cannot read "${shown}": there is no such folder or file`, { cause: error });
  }
}

function inOrder(left: ConfigError, right: ConfigError): number {
  return left.file === right.file
    ? left.line - right.line || left.column - right.column
    : left.file < right.file
      ? -1
      : 1;
}

function toJson({ severity, code, file, line, column, path: at, message, hint }: ConfigError): object {
  return { severity, code, file, line, column, path: at, message, hint };
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
