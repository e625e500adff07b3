// The base of Heddle's own errors: a stable code that is never reused; docs/errors.md lists them all.

/** `code` is `HDL_` and words, as `HDL_CONFIG_SYNTAX`. */
export class HeddleError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** What went wrong, in words, whatever was thrown. */
export function describeError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
