// How a case of the HTTP/1 smuggling corpora is written down: what a client sends, what it gets, what may reach the server.

export interface SmugglingCase {
  readonly name: string;
  /** Latin-1; with several pieces the client pauses between them. */
  readonly pieces: readonly string[];
  /** The final statuses that the client gets, in order. */
  readonly statuses: readonly number[];
  /** What the servers understand, in order: `METHOD target length-of-body`. Never more than the client honestly sent. */
  readonly requests: readonly string[];
  /** We close the connection after the last answer. */
  readonly isClosed: boolean;
  /** The head is well-formed, only the body is not: a server may have seen the beginning. Else it sees not one byte. */
  readonly isHeadHonest: boolean;
  /** Must not occur in the bytes that reach the server. */
  readonly never?: RegExp;
}

/** The request that an attacker wants to hide; it is never understood by a server unless the case says so. */
export const HIDDEN = "GET /HIDDEN HTTP/1.1\r\nHost: a\r\n\r\n";
export const HOST = "Host: a\r\n";

type Pieces = string | readonly string[];

function piecesOf(pieces: Pieces): readonly string[] {
  return typeof pieces === "string" ? [pieces] : pieces;
}

/** Nothing of it reaches a server; the client gets this status and the end. */
export function refused(name: string, pieces: Pieces, status = 400): SmugglingCase {
  return { name, pieces: piecesOf(pieces), statuses: [status], requests: [], isClosed: true, isHeadHonest: false };
}

/** As `refused`, but for its body: no server sees the request complete. */
export function cut(name: string, pieces: Pieces, status = 400): SmugglingCase {
  return { ...refused(name, pieces, status), isHeadHonest: true };
}

/** All of it is honest. */
export function served(name: string, pieces: Pieces, requests: readonly string[], never?: RegExp): SmugglingCase {
  const made = {
    name,
    pieces: piecesOf(pieces),
    statuses: requests.map(() => 200),
    requests,
    isClosed: false,
    isHeadHonest: true,
  };
  return never === undefined ? made : { ...made, never };
}

/** The first requests are honest, what follows them is refused. */
export function servedThenRefused(
  name: string,
  pieces: Pieces,
  requests: readonly string[],
  status = 400,
): SmugglingCase {
  const statuses = [...requests.map(() => 200), status];
  return { name, pieces: piecesOf(pieces), statuses, requests, isClosed: true, isHeadHonest: true };
}
