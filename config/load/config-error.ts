// What is wrong with a user's document, where it is wrong, and what to do about it.

import { HeddleError } from "#lib/errors.ts";

/** Every code that reading configuration can give, with what it means. Codes are never reused. */
export const configErrorCodes = {
  HDL_CONFIG_UNREADABLE: "A file or folder of configuration could not be read.",
  HDL_CONFIG_SYNTAX: "The text is not YAML.",
  HDL_CONFIG_DUPLICATE_KEY: "A mapping has the same key twice.",
  HDL_CONFIG_TOO_LARGE: "A file, a document or what its aliases expand to is beyond the limits of the loader.",
  HDL_CONFIG_NOT_A_RESOURCE: "A document is not an object with apiVersion, kind and metadata.",
  HDL_CONFIG_UNKNOWN_KIND: "The apiVersion and kind name nothing that Heddle reads.",
  HDL_CONFIG_IGNORED_KIND: "A document of another system's kind was skipped (warning).",
  HDL_CONFIG_UNKNOWN_FIELD: "A field does not exist in this kind.",
  HDL_CONFIG_MISSING_FIELD: "A required field is absent.",
  HDL_CONFIG_WRONG_TYPE: "A value has another type than the field.",
  HDL_CONFIG_OUT_OF_RANGE: "A number, a length or a count is outside its limits.",
  HDL_CONFIG_INVALID_VALUE: "A value has the right type, but not the form that the field needs.",
  HDL_CONFIG_DUPLICATE_ITEM: "A list whose items must be distinct repeats one.",
  HDL_CONFIG_RULE: "A rule between several fields is broken.",
  HDL_CONFIG_DUPLICATE_RESOURCE: "Two documents have the same kind, namespace and name.",
  HDL_CONFIG_PORT_TAKEN: "Two listeners or applications are to use the same address and port.",
  HDL_CONFIG_UNRESOLVED: "A reference names something that does not exist: accepted, but without effect (warning).",
  HDL_CONFIG_NO_EFFECT: "A field is accepted but cannot have an effect here (warning).",
} as const;

export type ConfigErrorCode = keyof typeof configErrorCodes;

/** Where a value stands. Lines and columns count from 1; 0: it is not in a file. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface ConfigErrorDetails extends Position {
  readonly code: ConfigErrorCode;
  readonly file: string;
  /** JSON path of the value, as `spec.rules[2].timeouts.request`; "" is the whole document. */
  readonly path: string;
  readonly message: string;
  /** What to do about it, one short sentence. */
  readonly hint?: string;
  /** A warning does not keep the resource from being used. Default: error. */
  readonly severity?: "error" | "warning";
}

/** One thing that is wrong in one place. A loader gives a list of them, never only the first. */
export class ConfigError extends HeddleError {
  declare readonly code: ConfigErrorCode;
  readonly severity: "error" | "warning";
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly hint: string | undefined;

  constructor(details: ConfigErrorDetails) {
    super(details.code, details.message);
    this.severity = details.severity ?? "error";
    this.file = details.file;
    this.line = details.line;
    this.column = details.column;
    this.path = details.path;
    this.hint = details.hint;
  }

  /** One line for people and editors: `file:line:column: error: message (hint) [code]`. */
  format(): string {
    const hint = this.hint === undefined ? "" : ` (${this.hint})`;
    return `${formatPlace(this)}: ${this.severity}: ${this.message}${hint} [${this.code}]`;
  }
}

/** `file:line:column`; of an object that is in no file its name, as `kubernetes HTTPRoute shop/cart`. */
export function formatPlace({ file, line, column }: Position & { readonly file: string }): string {
  return line === 0 ? file : `${file}:${line}:${column}`;
}

/** Orders problems as a reader meets them: by file, line, column. */
export function sortProblems(problems: readonly ConfigError[]): ConfigError[] {
  return problems.toSorted(
    (left, right) =>
      compareText(left.file, right.file) ||
      left.line - right.line ||
      left.column - right.column ||
      compareText(left.message, right.message),
  );
}

function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
