// The strict scan over the field lines of a head or trailer: RFC 9112 §5 without its leniencies.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { COLON, CR, IS_TOKEN, IS_VALUE, LF, SPACE, TAB } from "./characters.ts";
import {
  CONNECTION,
  CONTENT_LENGTH,
  EXPECT,
  FIELD,
  fieldNames,
  HOST,
  KEEP_ALIVE,
  TE,
  TRANSFER_ENCODING,
  UPGRADE,
} from "./names.ts";
import { makeViolation, type Violation } from "./violation.ts";

export const INCOMPLETE = -1;
export const REFUSED = -2;

/**
 * Flag of a field in a `HeaderBlock` (beside those of header-block.ts): its value lies in an HTTP/1 text as `Name: value CRLF`,
 * so that the whole line, checked already, can be copied from `start - name - 2` to `end + 2`. Cleared when the value is set.
 */
export const FIELD_H1_LINE = 0x100;

const FRAMING: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host"]);

export interface HeadLimits {
  readonly maxHeadBytes: number;
  readonly maxHeadCount: number;
  /** Names keep their letters. */
  readonly preserveCase: boolean;
}

/**
 * Fields that go on are added to the block; those of this hop stay here. One scan object serves one codec: its results hold
 * until the next `scan`.
 */
export class FieldScan {
  violation: Violation | undefined = undefined;
  /** -1 = none. */
  contentLength = -1;
  hasTransferEncoding = false;
  hostCount = 0;
  hostStart = 0;
  hostEnd = 0;
  hasClose = false;
  hasKeepAlive = false;
  hasConnectionUpgrade = false;
  /** Other names listed in Connection, lower case. */
  named: string[] | undefined = undefined;
  /** `TE: trailers` */
  acceptsTrailers = false;
  upgrade: string | undefined = undefined;
  expectsContinue = false;
  /** Seconds of `Keep-Alive: timeout=`, -1 = none; and of `max=`. */
  keepAliveTimeout = -1;
  keepAliveMax = -1;

  /** Reads from `position` to the empty line; answers the position behind it, INCOMPLETE or REFUSED (see `violation`). */
  scan(bytes: Buffer, position: number, end: number, block: HeaderBlock, limits: HeadLimits): number {
    this.#clear();
    let p = position;
    let count = 0;
    for (;;) {
      if (p >= end) return INCOMPLETE;
      const nameStart = p;
      let byte = bytes[p] ?? 0;
      if (byte === CR) {
        if (p + 1 >= end) return INCOMPLETE;
        return bytes[p + 1] === LF ? p + 2 : this.#refuse(400, "a CR without LF");
      }
      let hash = 0;
      while (IS_TOKEN[byte] === 1) {
        hash = (Math.imul(hash, 31) + byte) | 0;
        if (++p >= end) return INCOMPLETE;
        byte = bytes[p] ?? 0;
      }
      if (byte !== COLON || p === nameStart) return this.#refuseName(bytes, nameStart, p);
      const nameEnd = p++;
      while (p < end && (bytes[p] === SPACE || bytes[p] === TAB)) p++;
      const valueStart = p;
      while (p < end && IS_VALUE[bytes[p] ?? 0] === 1) p++;
      if (p + 1 >= end) {
        if (p < end && bytes[p] !== CR) return this.#refuseValue(bytes, nameStart, nameEnd, p);
        return INCOMPLETE;
      }
      if (bytes[p] !== CR || bytes[p + 1] !== LF) return this.#refuseValue(bytes, nameStart, nameEnd, p);
      let valueEnd = p;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === SPACE || bytes[valueEnd - 1] === TAB)) valueEnd--;
      if (++count > limits.maxHeadCount) return this.#refuse(431, `more than ${limits.maxHeadCount} header fields`);
      const name = fieldNames.find(bytes, nameStart, nameEnd, hash);
      const isLine =
        limits.preserveCase && valueEnd === p && valueStart === nameEnd + 2 && bytes[nameEnd + 1] === SPACE;
      const flags = isLine ? FIELD_H1_LINE : 0;
      const raw = limits.preserveCase ? name.raw : undefined;
      if (name.kind === FIELD) block.addRaw(name.lower, valueStart, valueEnd, flags, undefined, raw);
      else if (!this.#takeOwn(name.kind, bytes, valueStart, valueEnd, block, flags, raw)) return REFUSED;
      p += 2;
    }
  }

  /** Connection names a field that frames or routes the message: it is end-to-end, and the next parser might believe it. */
  get namesFraming(): boolean {
    return this.named?.some((name) => FRAMING.has(name)) === true;
  }

  /** Removes from the block what Connection named. */
  stripNamed(block: HeaderBlock): void {
    const named = this.named;
    if (named !== undefined) block.deleteWhere((name) => named.includes(name));
  }

  /** The fields that concern the connection or the framing. False: refused. */
  #takeOwn(
    kind: number,
    bytes: Buffer,
    start: number,
    end: number,
    block: HeaderBlock,
    flags: number,
    raw: string | undefined,
  ): boolean {
    switch (kind) {
      case HOST:
        this.hostCount++;
        this.hostStart = start;
        this.hostEnd = end;
        return true;
      case CONTENT_LENGTH:
        if (this.contentLength >= 0) return this.#refuseField(400, "two Content-Length fields");
        this.contentLength = parseLength(bytes, start, end);
        if (this.contentLength < 0) return this.#refuseField(400, "an invalid Content-Length");
        block.addRaw("content-length", start, end, flags, undefined, raw);
        return true;
      case TRANSFER_ENCODING:
        if (this.hasTransferEncoding) return this.#refuseField(400, "two Transfer-Encoding fields");
        this.hasTransferEncoding = true;
        return this.#takeCoding(bytes.toString("latin1", start, end).toLowerCase());
      case CONNECTION:
        this.#takeConnection(bytes.toString("latin1", start, end).toLowerCase());
        return true;
      case TE:
        if (/(?:^|[,\s])trailers(?:$|[,;\s])/i.test(bytes.toString("latin1", start, end))) this.acceptsTrailers = true;
        return true;
      case UPGRADE: {
        const value = bytes.toString("latin1", start, end);
        this.upgrade = this.upgrade === undefined ? value : `${this.upgrade}, ${value}`;
        return true;
      }
      case EXPECT:
        if (bytes.toString("latin1", start, end).toLowerCase() !== "100-continue") {
          return this.#refuseField(417, "an expectation other than 100-continue");
        }
        if (!this.expectsContinue) block.addRaw("expect", start, end, flags, undefined, raw);
        this.expectsContinue = true;
        return true;
      case KEEP_ALIVE:
        this.#takeKeepAlive(bytes.toString("latin1", start, end));
        return true;
      default:
        return true;
    }
  }

  #takeCoding(value: string): boolean {
    if (value === "chunked") return true;
    const codings = value.split(",").map(trimBlanks);
    const isKnownForm =
      codings.at(-1) === "chunked" &&
      codings.indexOf("chunked") === codings.length - 1 &&
      !codings.includes("identity");
    if (
      isKnownForm &&
      codings.every((coding) => /^(?:chunked|gzip|x-gzip|deflate|compress|x-compress)$/.test(coding))
    ) {
      return this.#refuseField(501, "a transfer coding other than chunked");
    }
    return this.#refuseField(400, "an invalid Transfer-Encoding");
  }

  #takeConnection(value: string): void {
    if (value === "keep-alive") this.hasKeepAlive = true;
    else if (value === "close") this.hasClose = true;
    else {
      for (const part of value.split(",")) {
        const option = trimBlanks(part);
        if (option === "keep-alive") this.hasKeepAlive = true;
        else if (option === "close") this.hasClose = true;
        else if (option === "upgrade") this.hasConnectionUpgrade = true;
        else if (option !== "") {
          this.named ??= [];
          this.named.push(option);
        }
      }
    }
  }

  #takeKeepAlive(value: string): void {
    const timeout = /(?:^|[,;\s])timeout\s*=\s*"?(\d{1,9})/i.exec(value)?.[1];
    if (timeout !== undefined) this.keepAliveTimeout = Number(timeout);
    const max = /(?:^|[,;\s])max\s*=\s*"?(\d{1,9})/i.exec(value)?.[1];
    if (max !== undefined) this.keepAliveMax = Number(max);
  }

  #refuseName(bytes: Buffer, start: number, position: number): number {
    const byte = bytes[position] ?? 0;
    if (position === start && (byte === SPACE || byte === TAB)) return this.#refuse(400, "a folded header line");
    if (position === start && byte === COLON) return this.#refuse(400, "a header without a name");
    const name = bytes.toString("latin1", start, Math.min(position, start + 64));
    if (byte === SPACE || byte === TAB) return this.#refuse(400, `a space in or behind the header name "${name}"`);
    if (byte === LF || byte === CR) return this.#refuse(400, "a header line without a colon");
    return this.#refuse(400, `byte 0x${byte.toString(16).padStart(2, "0")} in a header name behind "${name}"`);
  }

  #refuseValue(bytes: Buffer, nameStart: number, nameEnd: number, position: number): number {
    const byte = bytes[position] ?? 0;
    const name = bytes.toString("latin1", nameStart, Math.min(nameEnd, nameStart + 64));
    if (byte === LF) return this.#refuse(400, `a LF without CR in header "${name}"`);
    if (byte === CR) return this.#refuse(400, `a CR without LF in header "${name}"`);
    return this.#refuse(400, `byte 0x${byte.toString(16).padStart(2, "0")} in header "${name}"`);
  }

  #refuseField(status: number, detail: string): false {
    this.#refuse(status, detail);
    return false;
  }

  #refuse(status: number, detail: string): number {
    this.violation = makeViolation(status, detail);
    return REFUSED;
  }

  #clear(): void {
    this.violation = undefined;
    this.contentLength = -1;
    this.hasTransferEncoding = false;
    this.hostCount = 0;
    this.hasClose = false;
    this.hasKeepAlive = false;
    this.hasConnectionUpgrade = false;
    this.named = undefined;
    this.acceptsTrailers = false;
    this.upgrade = undefined;
    this.expectsContinue = false;
    this.keepAliveTimeout = -1;
    this.keepAliveMax = -1;
  }
}

/** Optional whitespace of RFC 9110 §5.6.3 alone: `trim` takes away bytes too, as 0xa0, that other parsers leave. */
export function trimBlanks(text: string): string {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

/** 1*DIGIT up to 15 digits, which a double holds exactly; -1 for anything else. */
function parseLength(bytes: Buffer, start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = (bytes[i] ?? 0) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}
