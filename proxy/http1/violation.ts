// What is wrong with a message that two parsers could read differently, and the status that says so.
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";

export interface Violation {
  /** 400, 417, 426, 431, 501. */
  readonly status: number;
  readonly detail: string;
}

export function makeViolation(status: number, detail: string): Violation {
  return { status, detail };
}

/** We refuse the peer's message: the connection is of no further use, since nobody knows where the next message starts. */
export function toStreamError(what: string, violation: Violation): StreamError {
  const message = `${what}: ${violation.detail}`;
  return makeStreamError("us", "connection", H2_ERROR.PROTOCOL_ERROR, message, false, violation.status);
}
