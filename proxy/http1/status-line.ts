// The first line of a response (RFC 9112 §4), read and written.
import { CR, IS_VALUE, LF, SPACE } from "./characters.ts";
import { INCOMPLETE, REFUSED } from "./field-scan.ts";
import { makeViolation, type Violation } from "./violation.ts";

const VERSION = Buffer.from("HTTP/1.");

const REASONS: Readonly<Record<number, string>> = {
  100: "Continue",
  101: "Switching Protocols",
  102: "Processing",
  103: "Early Hints",
  200: "OK",
  201: "Created",
  202: "Accepted",
  203: "Non-Authoritative Information",
  204: "No Content",
  205: "Reset Content",
  206: "Partial Content",
  207: "Multi-Status",
  300: "Multiple Choices",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  407: "Proxy Authentication Required",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  411: "Length Required",
  412: "Precondition Failed",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  416: "Range Not Satisfiable",
  417: "Expectation Failed",
  421: "Misdirected Request",
  422: "Unprocessable Content",
  423: "Locked",
  424: "Failed Dependency",
  425: "Too Early",
  426: "Upgrade Required",
  428: "Precondition Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  507: "Insufficient Storage",
  511: "Network Authentication Required",
};

const LINES: readonly Buffer[] = Array.from({ length: 1000 }, (_, status) =>
  status < 100 ? Buffer.alloc(0) : Buffer.from(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`),
);
const TEXTS: readonly string[] = Array.from({ length: 1000 }, (_, status) => String(status).padStart(3, "0"));

export function reasonOf(status: number): string {
  return REASONS[status] ?? "";
}

/** The whole first line; `status` from 100 to 999. */
export function statusLine(status: number): Buffer {
  return LINES[status] ?? LINES[500] ?? Buffer.alloc(0);
}

/** The status as `:status` holds it. */
export function statusText(status: number): string {
  return TEXTS[status] ?? "500";
}

export class StatusLine {
  violation: Violation | undefined = undefined;
  status = 0;
  minorVersion = 1;

  /** Answers the position behind the line, INCOMPLETE or REFUSED. The space before an empty reason may be missing. */
  scan(bytes: Buffer, position: number, end: number): number {
    this.violation = undefined;
    const length = Math.min(VERSION.length, end - position);
    for (let i = 0; i < length; i++)
      if (bytes[position + i] !== VERSION[i]) return this.#refuse("no HTTP/1 status line");
    let p = position + VERSION.length;
    if (p + 5 >= end) return INCOMPLETE;
    const minor = (bytes[p] ?? 0) - 48;
    if (minor !== 0 && minor !== 1) return this.#refuse("a version other than HTTP/1.0 and HTTP/1.1");
    this.minorVersion = minor;
    if (bytes[p + 1] !== SPACE) return this.#refuse("no space behind the version");
    let status = 0;
    for (let i = 2; i < 5; i++) {
      const digit = (bytes[p + i] ?? 0) - 48;
      if (digit < 0 || digit > 9) return this.#refuse("a status that is not three digits");
      status = status * 10 + digit;
    }
    if (status < 100) return this.#refuse("a status below 100");
    this.status = status;
    p += 5;
    if (bytes[p] === SPACE) {
      p++;
      while (p < end && IS_VALUE[bytes[p] ?? 0] === 1) p++;
    }
    if (p < end && bytes[p] !== CR) return this.#refuse("an invalid byte in the status line");
    if (p + 1 >= end) return INCOMPLETE;
    return bytes[p + 1] === LF ? p + 2 : this.#refuse("a CR without LF in the status line");
  }

  #refuse(detail: string): number {
    this.violation = makeViolation(502, detail);
    return REFUSED;
  }
}
