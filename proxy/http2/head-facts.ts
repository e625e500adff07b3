// What a header block says of its message: pseudo-headers, length, and whether RFC 9113 §8 calls it malformed.
import { FIELD_HUFFMAN, type HeaderBlock } from "#lib/http/header-block.ts";
import { NAME, type HeaderName } from "./hpack-names.ts";
import { CLASS_AT, CLASS_HIGH, CLASS_SPACE } from "./huffman.ts";

const METHOD_TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const SCHEME = /^[A-Za-z][A-Za-z0-9+.-]*$/;

/** Filled by the decoder for one block at a time; positions are places in the block, -1 = not there. */
export class HeadFacts {
  /** Names, values and 32 for each, as SETTINGS_MAX_HEADER_LIST_SIZE counts. */
  listBytes = 0;
  fields = 0;
  isTooLarge = false;
  sawRegular = false;
  /** Why the message is malformed; empty = it is not. */
  problem = "";
  /** -1 = none was given. */
  contentLength = -1;
  methodAt = -1;
  schemeAt = -1;
  authorityAt = -1;
  pathAt = -1;
  protocolAt = -1;
  hostAt = -1;
  /** 0 = none. */
  status = 0;

  begin(): void {
    this.listBytes = 0;
    this.fields = 0;
    this.isTooLarge = false;
    this.sawRegular = false;
    this.problem = "";
    this.contentLength = -1;
    this.methodAt = -1;
    this.schemeAt = -1;
    this.authorityAt = -1;
    this.pathAt = -1;
    this.protocolAt = -1;
    this.hostAt = -1;
    this.status = 0;
  }

  /** Keeps the first reason. */
  refuse(problem: string): void {
    if (this.problem === "") this.problem = problem;
  }

  /** Looks at a field whose name is not ordinary, just added at `at`. */
  note(name: HeaderName, classes: number, block: HeaderBlock, at: number): void {
    const kind = name.kind;
    if (kind <= NAME.UNKNOWN_PSEUDO) {
      this.#notePseudo(name, classes, block, at);
      return;
    }
    this.sawRegular = true;
    switch (kind) {
      case NAME.INVALID:
        this.refuse("a header name that is not a lower-case token");
        return;
      case NAME.CONNECTION:
        this.refuse(`"${name.text}", which belongs to HTTP/1`);
        return;
      case NAME.TE:
        if (block.valueAt(at) !== "trailers") this.refuse('"te" other than "trailers"');
        return;
      case NAME.CONTENT_LENGTH:
        this.#noteLength(block.valueAt(at));
        return;
      case NAME.HOST:
        if (this.hostAt >= 0) this.refuse('more than one "host"');
        if ((classes & (CLASS_SPACE | CLASS_HIGH | CLASS_AT)) !== 0) this.refuse('a "host" that is none');
        this.hostAt = at;
        return;
      default:
    }
  }

  #notePseudo(name: HeaderName, classes: number, block: HeaderBlock, at: number): void {
    if (this.sawRegular) this.refuse(`"${name.text}" after a regular header`);
    if ((classes & CLASS_SPACE) !== 0) this.refuse(`a blank in "${name.text}"`);
    let before = -1;
    switch (name.kind) {
      case NAME.METHOD:
        before = this.methodAt;
        this.methodAt = at;
        break;
      case NAME.SCHEME:
        before = this.schemeAt;
        this.schemeAt = at;
        break;
      case NAME.AUTHORITY:
        // RFC 9113 §8.3.1: no userinfo.
        if ((classes & (CLASS_HIGH | CLASS_AT)) !== 0) this.refuse('an ":authority" that is none');
        before = this.authorityAt;
        this.authorityAt = at;
        break;
      case NAME.PATH:
        before = this.pathAt;
        this.pathAt = at;
        break;
      case NAME.PROTOCOL:
        before = this.protocolAt;
        this.protocolAt = at;
        break;
      case NAME.STATUS: {
        if (this.status !== 0) before = 0;
        const text = block.valueAt(at);
        const status = text.length === 3 ? tryDecimal(text) : -1;
        if (status >= 100) this.status = status;
        else this.refuse('a ":status" that is not three digits');
        break;
      }
      default:
        this.refuse("an unknown pseudo-header");
        return;
    }
    if (before >= 0) this.refuse(`more than one "${name.text}"`);
  }

  #noteLength(text: string): void {
    if (this.contentLength >= 0) this.refuse('more than one "content-length"');
    this.contentLength = tryDecimal(text);
    if (this.contentLength < 0) this.refuse('a "content-length" that is not a number');
  }
}

/** The number that one to fifteen digits write; -1 = something else. */
function tryDecimal(text: string): number {
  const { length } = text;
  if (length === 0 || length > 15) return -1;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Checks a request's head (RFC 9113 §8.3.1, §8.5, RFC 8441 §4); the reason it is malformed, or "". */
export function checkRequest(facts: HeadFacts, block: HeaderBlock, allowsConnectProtocol: boolean): string {
  if (facts.problem !== "") return facts.problem;
  if (facts.status !== 0) return '":status" in a request';
  if (facts.methodAt < 0) return 'no ":method"';
  const method = block.valueAt(facts.methodAt);
  if (method === "CONNECT") {
    if (facts.authorityAt < 0) return 'CONNECT without ":authority"';
    if (facts.protocolAt < 0) return facts.schemeAt < 0 && facts.pathAt < 0 ? "" : 'CONNECT with ":scheme" or ":path"';
    if (!allowsConnectProtocol) return '":protocol", which was not offered';
  } else {
    if (method !== "GET" && method !== "POST" && !METHOD_TOKEN.test(method)) return 'a ":method" that is no token';
    if (facts.protocolAt >= 0) return '":protocol" without CONNECT';
  }
  if (facts.schemeAt < 0) return 'no ":scheme"';
  if (facts.pathAt < 0) return 'no ":path"';
  const scheme = block.valueAt(facts.schemeAt);
  if (scheme !== "http" && scheme !== "https" && !SCHEME.test(scheme)) return 'a ":scheme" that is none';
  if (!beginsWithSlash(block, facts.pathAt) && !(method === "OPTIONS" && block.valueAt(facts.pathAt) === "*"))
    return 'a ":path" that does not begin with "/"';
  return checkHost(facts, block);
}

/** Checks a response's head (RFC 9113 §8.3.2). */
export function checkResponse(facts: HeadFacts): string {
  if (facts.problem !== "") return facts.problem;
  if (facts.status === 0) return 'no ":status"';
  if (facts.status === 101) return "101, which HTTP/2 has not";
  return hasRequestPseudo(facts) ? "a request's pseudo-header in a response" : "";
}

/** Checks trailers (RFC 9113 §8.1). */
export function checkTrailers(facts: HeadFacts): string {
  if (facts.problem !== "") return facts.problem;
  if (facts.status !== 0 || hasRequestPseudo(facts)) return "a pseudo-header in trailers";
  return facts.contentLength >= 0 || facts.hostAt >= 0 ? "a framing or routing header in trailers" : "";
}

function hasRequestPseudo(facts: HeadFacts): boolean {
  return (facts.methodAt & facts.schemeAt & facts.authorityAt & facts.pathAt & facts.protocolAt) !== -1;
}

/** `host` gives way to `:authority`; alone it becomes it; two that differ are malformed (RFC 9113 §8.3.1). */
function checkHost(facts: HeadFacts, block: HeaderBlock): string {
  if (facts.hostAt < 0) return facts.authorityAt < 0 ? 'neither ":authority" nor "host"' : "";
  if (facts.authorityAt < 0) {
    block.renameAt(facts.hostAt, ":authority");
    return "";
  }
  const host = block.valueAt(facts.hostAt).toLowerCase();
  if (host !== block.valueAt(facts.authorityAt).toLowerCase()) return '"host" and ":authority" that differ';
  block.delete("host");
  return "";
}

/** Looks at the first octet, or at the first Huffman code: `/` is 011000. */
function beginsWithSlash(block: HeaderBlock, at: number): boolean {
  const value = block.knownValueAt(at);
  if (value !== undefined) return value.charCodeAt(0) === 0x2f;
  const start = block.startAt(at);
  if (start === block.endAt(at)) return false;
  const octet = block.bytes?.[start] ?? 0;
  return (block.flagsAt(at) & FIELD_HUFFMAN) === 0 ? octet === 0x2f : octet >> 2 === 0x18;
}
