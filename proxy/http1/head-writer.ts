// Writes field lines into an outbox: lines that came from HTTP/1 are copied whole, everything else is checked byte by byte.
import { FIELD_HUFFMAN, type HeaderBlock } from "#lib/http/header-block.ts";
import { writeBytes } from "#lib/http/outbox.ts";
import type { Outbox } from "#lib/http/stream.ts";
import { areAll, areCharacters, CR, isToken, IS_VALUE, LF } from "./characters.ts";
import { FIELD_H1_LINE } from "./field-scan.ts";

/** `reserve` takes no more at once. */
const MAX_PIECE = 60 * 1024;

/** Fields that this hop writes itself, or that never leave it. */
function isOwn(name: string): boolean {
  switch (name.length) {
    case 2:
      return name === "te";
    case 4:
      return name === "host";
    case 7:
      return name === "upgrade";
    case 10:
      return name === "connection" || name === "keep-alive";
    case 14:
      return name === "content-length" || name === "http2-settings";
    case 16:
      return name === "proxy-connection";
    case 17:
      return name === "transfer-encoding";
    default:
      return name.charCodeAt(0) === 58;
  }
}

/** The one valid `content-length` of a block, or -1. */
export function contentLengthOf(block: HeaderBlock): number {
  let found = -1;
  for (let i = 0; i < block.length; i++) {
    if (block.nameAt(i) !== "content-length") continue;
    const text = block.valueAt(i);
    if (found >= 0 || !/^\d{1,15}$/.test(text)) return -1;
    found = Number(text);
  }
  return found;
}

/** Writes text of any length that is known to be latin1 without control bytes. */
export function writeText(out: Outbox, text: string): void {
  const { length } = text;
  if (length > MAX_PIECE) {
    const bytes = Buffer.from(text, "latin1");
    writeBytes(out, bytes, 0, length);
    return;
  }
  out.reserve(length);
  const buffer = out.buffer;
  const at = out.position;
  for (let i = 0; i < length; i++) buffer[at + i] = text.charCodeAt(i);
  out.position = at + length;
}

/** Writes the block's lines (without the hop's own and without pseudo-fields) but not the empty line behind them. */
export function writeFields(out: Outbox, block: HeaderBlock, withContentLength: boolean): void {
  const bytes = block.bytes;
  // A run of lines that lie side by side in the same HTTP/1 text is copied at once.
  let runStart = -1;
  let runEnd = -1;
  let hasCookie = false;
  for (let i = 0; i < block.length; i++) {
    const name = block.nameAt(i);
    if (isOwn(name) && !(withContentLength && name === "content-length")) continue;
    if (bytes !== undefined && (block.flagsAt(i) & FIELD_H1_LINE) !== 0) {
      const lineStart = block.startAt(i) - name.length - 2;
      const lineEnd = block.endAt(i) + 2;
      if (lineStart === runEnd && lineEnd - runStart <= MAX_PIECE) {
        runEnd = lineEnd;
        continue;
      }
      if (runStart >= 0) writeBytes(out, bytes, runStart, runEnd);
      runStart = lineStart;
      runEnd = lineEnd;
      continue;
    }
    if (runStart >= 0 && bytes !== undefined) writeBytes(out, bytes, runStart, runEnd);
    runStart = -1;
    runEnd = -1;
    if (name === "cookie") {
      if (!hasCookie) writeCookie(out, block, i);
      hasCookie = true;
    } else writeField(out, block, i, name);
  }
  if (runStart >= 0 && bytes !== undefined) writeBytes(out, bytes, runStart, runEnd);
}

export function writeEnd(out: Outbox): void {
  out.reserve(2);
  out.buffer[out.position++] = CR;
  out.buffer[out.position++] = LF;
}

/** `Name: text CRLF`, both known to be clean. Put together they would be a string of their own, made and copied again. */
export function writeLine(out: Outbox, name: string, text: string): void {
  writeText(out, name);
  writeText(out, ": ");
  writeText(out, text);
  writeEnd(out);
}

/** HTTP/2 may split a cookie into crumbs, which HTTP/1 must not (RFC 9113 §8.2.3). `index`: the first. */
function writeCookie(out: Outbox, block: HeaderBlock, index: number): void {
  for (let i = index + 1; i < block.length; i++) {
    if (block.nameAt(i) !== "cookie") continue;
    const joined = block.getJoined("cookie") ?? "";
    if (areCharacters(IS_VALUE, joined)) writeLine(out, "cookie", joined);
    return;
  }
  writeField(out, block, index, "cookie");
}

/** A field with a byte that HTTP/1 cannot carry is left out: it would end the name, the line, or the head. */
function writeField(out: Outbox, block: HeaderBlock, index: number, name: string): void {
  if (!isToken(name)) return;
  const raw = block.rawNameAt(index);
  // Filters may set rawNames; only another spelling of the name itself is believed.
  const spelled = raw !== undefined && raw.length === name.length && raw.toLowerCase() === name ? raw : name;
  const bytes = block.bytes;
  if (bytes !== undefined && block.knownValueAt(index) === undefined && (block.flagsAt(index) & FIELD_HUFFMAN) === 0) {
    const start = block.startAt(index);
    const end = block.endAt(index);
    if (!areAll(IS_VALUE, bytes, start, end)) return;
    writeText(out, spelled);
    writeText(out, ": ");
    writeBytes(out, bytes, start, end);
    writeEnd(out);
    return;
  }
  const value = block.valueAt(index);
  if (areCharacters(IS_VALUE, value)) writeLine(out, spelled, value);
}
