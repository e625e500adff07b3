// Tells HTTP/2, HTTP/1 and everything else apart by the first bytes of a plain connection.

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** `PRI * HTTP/2.0` and the end of the line. */
const PREFACE_LINE = 16;
const CONNECT = Buffer.from("CONNECT");
/** What a target begins with: a path, the asterisk, or a URL with one of these (RFC 9112 §3.2). */
const SCHEMES: readonly string[] = ["http://", "https://"];

export type Detected = "http2" | "http1" | "other" | "more";

/** The longest method token that is waited for. */
const MAX_METHOD = 24;
/** The longest request line that is waited for where something else than HTTP is possible. */
const MAX_LINE = 16 * 1024;
const STATUS_LINE = Buffer.from("HTTP/1.");
/** RFC 9113 §4.1 and §6.5. */
const FRAME_HEAD = 9;
const SETTINGS = 4;
const SETTING_BYTES = 6;
const SPACE = 0x20;
const LINE_FEED = 0x0a;

/**
 * By the shortest beginning that tells; `more`: these bytes can still become either. An HTTP/1 request begins with a token, a
 * space and a target (RFC 9112 §3), which `EHLO there` and `SET key value` do not.
 */
export function detectProtocol(bytes: Buffer): Detected {
  if (bytes.length === 0) return "more";
  const length = Math.min(bytes.length, PREFACE.length);
  if (bytes.compare(PREFACE, 0, length, 0, length) === 0) return bytes.length >= PREFACE.length ? "http2" : "more";
  // Wrong only behind its first line: an error of HTTP/2, which HTTP/2 answers (RFC 9113 §3.4).
  if (bytes.length > PREFACE_LINE && bytes.compare(PREFACE, 0, PREFACE_LINE, 0, PREFACE_LINE) === 0) return "http2";
  const space = findMethodEnd(bytes);
  if (typeof space === "string") return space;
  return detectTarget(bytes, space);
}

/**
 * Whether it is certain that nobody who speaks HTTP/1 sent this: the first line is there and names no version of HTTP. An answer
 * in HTTP/1 would be no answer to that, least of all to a broken preface of HTTP/2.
 */
export function isForeign(bytes: Buffer): boolean {
  if (detectProtocol(bytes) !== "other") return false;
  const end = bytes.indexOf(LINE_FEED);
  return end >= 0 && !bytes.subarray(0, end).includes("HTTP/");
}

/**
 * By the whole request line, which must end with an HTTP version: where a protocol of another kind may come on the same port,
 * as `SET /a b` of Redis. Gives Envoy's names of the http_inspector.
 */
export function inspectHttp(bytes: Buffer): "http/1.0" | "http/1.1" | "h2c" | "other" | "more" {
  const detected = detectProtocol(bytes);
  if (detected === "http2") return "h2c";
  if (detected !== "http1") return detected;
  const end = bytes.indexOf(LINE_FEED);
  if (end < 0) return bytes.length < MAX_LINE ? "more" : "other";
  const version = /^HTTP\/1\.([01])\r?$/.exec(bytes.toString("latin1", bytes.lastIndexOf(SPACE, end) + 1, end));
  if (version === null) return "other";
  return version[1] === "0" ? "http/1.0" : "http/1.1";
}

/**
 * Whether the first bytes of a server are HTTP's. They are no sign that it is its turn to speak: an HTTP/2 server may send its
 * SETTINGS before it has seen the client's (RFC 9113 §3.4), and some answer an idle connection with a 408.
 */
export function speaksHttp(bytes: Buffer, start: number, end: number): boolean {
  const length = end - start;
  if (
    length >= STATUS_LINE.length &&
    bytes.compare(STATUS_LINE, 0, STATUS_LINE.length, start, start + STATUS_LINE.length) === 0
  )
    return true;
  if (length < FRAME_HEAD || bytes[start + 3] !== SETTINGS) return false;
  const isWhole = bytes.readUIntBE(start, 3) % SETTING_BYTES === 0;
  return isWhole && bytes[start + 4] === 0 && bytes.readUInt32BE(start + 5) === 0;
}

/** Where the space behind the method is. */
function findMethodEnd(bytes: Buffer): number | "other" | "more" {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === SPACE) return i > 0 ? i : "other";
    const isUpper = byte >= 0x41 && byte <= 0x5a;
    const isOtherToken = byte === 0x2d || byte === 0x5f || (byte >= 0x61 && byte <= 0x7a);
    if ((!isUpper && !isOtherToken) || i >= MAX_METHOD) return "other";
  }
  return "more";
}

function detectTarget(bytes: Buffer, space: number): Detected {
  if (space === CONNECT.length && bytes.compare(CONNECT, 0, space, 0, space) === 0) return "http1";
  const first = bytes[space + 1];
  if (first === undefined) return "more";
  if (first === 0x2f || first === 0x2a) return "http1";
  const start = bytes
    .subarray(space + 1, space + 9)
    .toString("latin1")
    .toLowerCase();
  for (const wanted of SCHEMES) {
    if (start.startsWith(wanted)) return "http1";
    if (wanted.startsWith(start)) return "more";
  }
  return "other";
}
