// Writes the help of a command from its definition, so that both cannot differ.
import type { CommandDefinition } from "./command.ts";
import { commandLine, type OptionSpec, type OptionSpecs } from "./arguments.ts";

const COMMON_EXITS: Readonly<Record<number, string>> = {
  0: "done",
  1: "failed",
  2: "the command line is wrong",
  3: "something that is needed does not answer or does not exist",
};

export function formatHelp<O extends OptionSpecs>(definition: CommandDefinition<O>): string {
  const { usage, summary, details, options, examples, exits } = definition;
  const rows = Object.entries<OptionSpec>(options).map(([option, spec]) => [left(option, spec), right(spec)] as const);
  rows.push(["--help, -h", "this text"]);
  const parts = [
    `${commandLine(definition)} ${usage}`.trimEnd(),
    summary + (details === undefined ? "" : `\n\n${details}`),
    `Options:\n${columns(rows)}`,
    `Examples:\n${examples.map(([line, meaning]) => `  ${line}\n      ${meaning}`).join("\n")}`,
    `Exit codes:\n${columns(Object.entries({ ...COMMON_EXITS, ...exits }).map(([code, text]) => [code, text ?? ""] as const))}`,
  ];
  return `${parts.join("\n\n")}\n`;
}

function left(option: string, { short, type, value }: OptionSpec): string {
  const value_ = type === "boolean" ? "" : ` ${value ?? "VALUE"}`;
  return `${short === undefined ? "" : `-${short}, `}--${option}${value_}`;
}

function right(spec: OptionSpec): string {
  const preset = spec.default === undefined ? "" : ` (default: ${spec.default})`;
  return `${spec.help}${preset}${spec.multiple === true ? "; may be given several times" : ""}`;
}

/** Two columns, the second one aligned. */
export function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([first]) => first.length)) + 2;
  return rows.map(([first, second]) => `  ${first.padEnd(width)}${second}`).join("\n");
}
