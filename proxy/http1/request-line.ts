// The first line of a request: method, target in one of its four forms, version (RFC 9112 §3).
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { areAll, CR, IS_AUTHORITY, IS_TARGET, IS_TOKEN, LF, SPACE } from "./characters.ts";
import { INCOMPLETE, REFUSED } from "./field-scan.ts";
import { makeViolation, type Violation } from "./violation.ts";

const METHODS: ReadonlyMap<number, readonly string[]> = groupByLength(
  "GET POST PUT PATCH DELETE HEAD OPTIONS CONNECT TRACE".split(" "),
);
const MAX_METHOD = 32;
const HTTP_VERSION = Buffer.from("HTTP/1.");

/** `:method`, `:scheme`, `:authority` and `:path` are the first four fields of a request's block; CONNECT has only two. */
export const AUTHORITY_INDEX = 2;

/** Reads a request line and adds the pseudo-fields; results hold until the next `scan`. */
export class RequestLine {
  violation: Violation | undefined = undefined;
  method = "";
  /** HTTP/1.x */
  minorVersion = 1;
  /** The target was absolute or (CONNECT) an authority: it replaces Host (RFC 9112 §3.2.2). */
  hasAuthority = false;
  /** Why an absolute target is not for us, if it was one. */
  isAbsolute = false;

  /** Answers the position behind the line, INCOMPLETE or REFUSED. `scheme` is the connection's own. */
  scan(bytes: Buffer, position: number, end: number, scheme: string, block: HeaderBlock): number {
    this.violation = undefined;
    this.hasAuthority = false;
    this.isAbsolute = false;
    let p = position;
    const methodStart = p;
    while (p < end && IS_TOKEN[bytes[p] ?? 0] === 1) p++;
    if (p - methodStart > MAX_METHOD) return this.#refuse(400, "a method longer than 32 bytes");
    if (p >= end) return INCOMPLETE;
    if (bytes[p] !== SPACE || p === methodStart) return this.#refuse(400, "no HTTP/1 request line");
    const methodEnd = p++;
    const targetStart = p;
    while (p < end && IS_TARGET[bytes[p] ?? 0] === 1) p++;
    if (p >= end) return INCOMPLETE;
    if (bytes[p] !== SPACE || p === targetStart) {
      return this.#refuse(400, `byte 0x${(bytes[p] ?? 0).toString(16).padStart(2, "0")} in the request target`);
    }
    const targetEnd = p++;
    const behind = this.#scanVersion(bytes, p, end);
    if (behind < 0) return behind;
    this.method = methodOf(bytes, methodStart, methodEnd);
    return this.#addTarget(bytes, targetStart, targetEnd, scheme, block) ? behind : REFUSED;
  }

  #scanVersion(bytes: Buffer, position: number, end: number): number {
    const length = Math.min(HTTP_VERSION.length, end - position);
    for (let i = 0; i < length; i++) {
      if (bytes[position + i] !== HTTP_VERSION[i]) return this.#refuse(400, "no HTTP/1 version in the request line");
    }
    const p = position + HTTP_VERSION.length;
    if (p >= end) return INCOMPLETE;
    const minor = (bytes[p] ?? 0) - 48;
    if (minor !== 0 && minor !== 1) return this.#refuse(400, "a version other than HTTP/1.0 and HTTP/1.1");
    this.minorVersion = minor;
    if (p + 1 < end && bytes[p + 1] !== CR) return this.#refuse(400, "something behind the version");
    if (p + 2 >= end) return INCOMPLETE;
    return bytes[p + 2] === LF ? p + 3 : this.#refuse(400, "a CR without LF in the request line");
  }

  #addTarget(bytes: Buffer, start: number, end: number, scheme: string, block: HeaderBlock): boolean {
    block.add(":method", this.method);
    if (this.method === "CONNECT") {
      this.hasAuthority = true;
      if (!isAuthority(bytes, start, end) || !hasPort(bytes, start, end)) {
        return this.#refuseTarget("a CONNECT target that is not host:port");
      }
      block.addRaw(":authority", start, end, 0);
      return true;
    }
    const first = bytes[start];
    if (first === 47) {
      block.add(":scheme", scheme);
      block.add(":authority", "");
      block.addRaw(":path", start, end, 0);
      return true;
    }
    if (first === 42 && end === start + 1) {
      if (this.method !== "OPTIONS") return this.#refuseTarget("the target * with a method other than OPTIONS");
      block.add(":scheme", scheme);
      block.add(":authority", "");
      block.add(":path", "*");
      return true;
    }
    return this.#addAbsolute(bytes, start, end, block);
  }

  #addAbsolute(bytes: Buffer, start: number, end: number, block: HeaderBlock): boolean {
    this.isAbsolute = true;
    const prefix = bytes.toString("latin1", start, Math.min(end, start + 8)).toLowerCase();
    const scheme = prefix.startsWith("http://") ? "http" : prefix.startsWith("https://") ? "https" : "";
    if (scheme === "") return this.#refuseTarget("a request target that is neither a path nor an http URI");
    const authorityStart = start + scheme.length + 3;
    let p = authorityStart;
    while (p < end && bytes[p] !== 47 && bytes[p] !== 63) p++;
    if (p === authorityStart || !isAuthority(bytes, authorityStart, p)) {
      return this.#refuseTarget("a request target with an invalid host");
    }
    this.hasAuthority = true;
    block.add(":scheme", scheme);
    block.addRaw(":authority", authorityStart, p, 0);
    if (p === end) block.add(":path", this.method === "OPTIONS" ? "*" : "/");
    else if (bytes[p] === 47) block.addRaw(":path", p, end, 0);
    else block.add(":path", `/${bytes.toString("latin1", p, end)}`);
    return true;
  }

  #refuseTarget(detail: string): false {
    this.#refuse(400, detail);
    return false;
  }

  #refuse(status: number, detail: string): number {
    this.violation = makeViolation(status, detail);
    return REFUSED;
  }
}

/** A host with an optional port, as Host and `:authority` hold it. Brackets only around an IPv6 literal. */
export function isAuthority(bytes: Buffer, start: number, end: number): boolean {
  if (!areAll(IS_AUTHORITY, bytes, start, end)) return false;
  let colon = -1;
  if (bytes[start] === 91) {
    const close = bytes.indexOf(93, start);
    if (close < 0 || close >= end || close === start + 1) return false;
    if (close + 1 === end) return true;
    if (bytes[close + 1] !== 58) return false;
    colon = close + 1;
  } else {
    for (let p = start; p < end; p++) {
      if (bytes[p] === 91 || bytes[p] === 93) return false;
      if (bytes[p] !== 58) continue;
      if (colon >= 0) return false;
      colon = p;
    }
    if (colon < 0) return true;
    if (colon === start) return false;
  }
  if (end - colon > 6) return false;
  for (let p = colon + 1; p < end; p++) if ((bytes[p] ?? 0) < 48 || (bytes[p] ?? 0) > 57) return false;
  return true;
}

function hasPort(bytes: Buffer, start: number, end: number): boolean {
  const colon = bytes.lastIndexOf(58, end - 1);
  return colon > start && colon < end - 1;
}

function methodOf(bytes: Buffer, start: number, end: number): string {
  for (const method of METHODS.get(end - start) ?? []) {
    let i = 0;
    while (i < method.length && method.charCodeAt(i) === bytes[start + i]) i++;
    if (i === method.length) return method;
  }
  return bytes.toString("latin1", start, end);
}

function groupByLength(methods: readonly string[]): ReadonlyMap<number, readonly string[]> {
  return Map.groupBy(methods, (method) => method.length);
}
