// What a command of `heddle` is: its options, its help, what it may do to the outside, and what its exit code says.
import { parseArguments, type Arguments, type OptionSpecs } from "./arguments.ts";
import { formatHelp } from "./help.ts";

/** What a command ends with. */
export const exitCodes = {
  /** Done, or the answer is yes. */
  done: 0,
  /** It was tried and failed, or the answer is no: configuration with errors, a request that nobody remembers. */
  failed: 1,
  /** The command line cannot be understood. */
  usage: 2,
  /** Something that must be there did not answer: the control plane, an admin port, a folder. */
  unreachable: 3,
} as const;

export type ExitCode = number;

/** The outside, given to commands so that tests can read what they say. */
export interface Context {
  /** Results; what another program may read. */
  write(text: string): void;
  /** Messages for people. */
  writeError(text: string): void;
  /** The program's own file, to start more of it. */
  readonly entry: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder that relative paths start from. */
  readonly folder: string;
}

export interface CommandDefinition<O extends OptionSpecs> {
  /** `heddle` unless it says otherwise. */
  readonly program?: string;
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** Arguments after the name: `FOLDER [--format json]`. */
  readonly usage: string;
  /** Paragraphs between usage and options. */
  readonly details?: string;
  readonly options: O;
  /** Command lines, each with what it does. */
  readonly examples: readonly (readonly [line: string, meaning: string])[];
  /** What the exit codes mean here, where it is not the usual. */
  readonly exits?: Readonly<Partial<Record<number, string>>>;
  /** How many arguments without a dash it takes. */
  readonly positionals: { readonly least: number; readonly most: number };
  run(args: Arguments<O>, context: Context): Promise<ExitCode>;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly help: string;
  run(args: readonly string[], context: Context): Promise<ExitCode>;
}

/** Makes a command that answers `--help` and refuses what it does not know. */
export function makeCommand<const O extends OptionSpecs>(definition: CommandDefinition<O>): Command {
  const help = formatHelp(definition);
  return {
    name: definition.name,
    summary: definition.summary,
    help,
    async run(args, context) {
      if (asksForHelp(args)) {
        context.write(help);
        return exitCodes.done;
      }
      return definition.run(parseArguments(args, definition), context);
    },
  };
}

/** What stands behind `--` belongs to somebody else. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return (end === -1 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}
