// Reads command lines with node:util's parseArgs, and says of a wrong one what was probably meant.
import { parseArgs } from "node:util";
import { suggest } from "#config/schema/suggest.ts";
import { describeError, HeddleError } from "#lib/errors.ts";
import type { SocketAddress } from "#config/model/address.ts";

export interface OptionSpec {
  readonly type: "string" | "boolean";
  readonly short?: string;
  readonly multiple?: boolean;
  readonly default?: string;
  /** What stands for the value in the help: `DIR`. */
  readonly value?: string;
  readonly help: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface Arguments<O extends OptionSpecs> {
  readonly values: { readonly [K in keyof O]: OptionValue<O[K]> };
  readonly positionals: readonly string[];
  /** What stands behind `--`; undefined where there is no `--`. */
  readonly rest: readonly string[] | undefined;
}

type OptionValue<S extends OptionSpec> = S["type"] extends "boolean"
  ? boolean
  : S["multiple"] extends true
    ? readonly string[]
    : S["default"] extends string
      ? string
      : string | undefined;

/** The command line cannot be understood. Code `HDL_CLI_USAGE`, exit code 2. */
export class UsageError extends HeddleError {
  constructor(message: string) {
    super("HDL_CLI_USAGE", message);
  }
}

interface Grammar<O extends OptionSpecs> {
  /** `heddle` unless it says otherwise. */
  readonly program?: string;
  readonly name: string;
  readonly options: O;
  readonly positionals: { readonly least: number; readonly most: number };
  readonly usage: string;
}

/** @throws {UsageError} for an unknown option (with what was probably meant), a missing value, too few or too many arguments. */
export function parseArguments<O extends OptionSpecs>(args: readonly string[], grammar: Grammar<O>): Arguments<O> {
  const end = args.indexOf("--");
  const own = end === -1 ? [...args] : args.slice(0, end);
  refuseUnknown(own, grammar);
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({ args: own, options: grammar.options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(describeError(error).split(". To specify")[0] ?? "");
  }
  const { least, most } = grammar.positionals;
  const count = parsed.positionals.length;
  if (count < least) throw new UsageError(`Too few arguments. Usage: ${commandLine(grammar)} ${grammar.usage}`);
  if (count > most)
    throw new UsageError(
      `Unexpected argument "${parsed.positionals[most] ?? ""}". Usage: ${commandLine(grammar)} ${grammar.usage}`,
    );
  for (const [name, spec] of Object.entries(grammar.options)) {
    if (spec.type === "boolean") parsed.values[name] ??= false;
    else if (spec.multiple === true) parsed.values[name] ??= [];
  }
  return {
    values: parsed.values as Arguments<O>["values"], // parseArgs checked the types that the specs give
    positionals: parsed.positionals,
    rest: end === -1 ? undefined : args.slice(end + 1),
  };
}

/** `heddle status` */
export function commandLine({
  program = "heddle",
  name,
}: {
  readonly program?: string;
  readonly name: string;
}): string {
  return `${program} ${name}`;
}

function refuseUnknown<O extends OptionSpecs>(args: string[], grammar: Grammar<O>): void {
  const { options } = grammar;
  const { tokens } = parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true });
  for (const token of tokens) {
    if (token.kind !== "option" || token.name in options) continue;
    const near = suggest(token.name, Object.keys(options));
    const hint = near === undefined || token.name.length < 2 ? "" : ` (did you mean --${near}?)`;
    throw new UsageError(`Unknown option ${token.rawName}${hint}. ${commandLine(grammar)} --help lists them all`);
  }
}

/** `127.0.0.1:15012`, `[::1]:15012`, or a port alone on 127.0.0.1. @throws {UsageError} */
export function parseAddress(text: string, option: string): SocketAddress {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new UsageError(`${option} must be ADDRESS:PORT: got "${text}"`);
  return { address: match[1] ?? match[2] ?? "127.0.0.1", port };
}

/** A whole number. @throws {UsageError} */
export function parseWhole(text: string, option: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new UsageError(`${option} must be a whole number from ${least} to ${most}: got "${text}"`);
  return value;
}

/** One of a few words. @throws {UsageError} */
export function parseChoice<const T extends string>(text: string, option: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  const near = suggest(text, choices);
  const hint = near === undefined ? "" : ` (did you mean ${near}?)`;
  throw new UsageError(`${option} must be one of ${choices.join(", ")}: got "${text}"${hint}`);
}

/** `namespace/name`. @throws {UsageError} */
export function parseWorkloadId(text: string | undefined): { readonly namespace: string; readonly name: string } {
  const parts = text?.split("/") ?? [];
  const [namespace, name] = parts;
  if (parts.length !== 2 || !isName(namespace) || !isName(name))
    throw new UsageError(`--workload must be NAMESPACE/NAME: got ${text === undefined ? "nothing" : `"${text}"`}`);
  return { namespace, name };
}

function isName(part: string | undefined): part is string {
  return part !== undefined && /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(part);
}

/** The value of an option that must be there. @throws {UsageError} */
export function need(value: string | undefined, option: string): string {
  if (value === undefined) throw new UsageError(`${option} is needed`);
  return value;
}
