// Header names met once and remembered: their text, what the protocol says about them, and how they are written in HPACK.
import type { FieldSource } from "#lib/http/header-block.ts";
import { decodeHuffman, encodeHuffman, scanHuffman } from "./huffman.ts";

/** What a name means to the codec; everything but ORDINARY is looked at while a block is decoded or encoded. */
export const NAME = {
  ORDINARY: 0,
  METHOD: 1,
  SCHEME: 2,
  AUTHORITY: 3,
  PATH: 4,
  PROTOCOL: 5,
  STATUS: 6,
  /** Any other name that begins with a colon. */
  UNKNOWN_PSEUDO: 7,
  /** Not a lower-case token (RFC 9113 §8.2.1). */
  INVALID: 8,
  /** Belongs to one HTTP/1 connection (RFC 9113 §8.2.2). */
  CONNECTION: 9,
  TE: 10,
  CONTENT_LENGTH: 11,
  HOST: 12,
  /** Ordinary where it comes from, but of no meaning behind us: never sent on (`HTTP2-Settings`, RFC 7540 §3.2.1). */
  DROPPED: 13,
} as const;

export class HeaderName implements FieldSource {
  /** Only the name is known. */
  readonly value = undefined;
  text: string;
  /** Met once so far: a peer that sends new names for ever must not make us do more for each than this. */
  isNew = false;
  /** One of `NAME`. */
  readonly kind: number;
  /** Its first place in the static table, or 0. */
  readonly staticIndex: number;
  /** Never put into a table that several clients share (RFC 7541 §7.1). */
  readonly isSensitive: boolean;
  /** Filters or logs ask for its value in nearly every request: it is decoded while it is checked. */
  readonly isUsuallyRead: boolean;
  /** Differs between names, for hashing. */
  readonly salt: number;
  #wire: Buffer | undefined = undefined;

  constructor(text: string, staticIndex: number) {
    this.text = text;
    this.kind = kindOf(text);
    this.staticIndex = staticIndex;
    this.isSensitive = SENSITIVE.has(text);
    this.isUsuallyRead = USUALLY_READ.has(text);
    this.salt = hashText(text);
  }

  /** Literal form: length and Huffman bytes. */
  get wire(): Buffer {
    return (this.#wire ??= encodeName(this.text));
  }
}

function encodeName(text: string): Buffer {
  const coded = encodeHuffman(text);
  const prefix: number[] = [];
  if (coded.length < 127) prefix.push(0x80 | coded.length);
  else {
    prefix.push(0xff);
    let rest = coded.length - 127;
    for (; rest >= 128; rest >>>= 7) prefix.push((rest & 127) | 128);
    prefix.push(rest);
  }
  return Buffer.concat([Buffer.from(prefix), coded]);
}

/** One field that a table holds whole; what is relayed is recognized by this object. */
export class HeaderEntry {
  readonly name: HeaderName;
  value: string;
  /** Until the value is asked for it is these bytes of its table's store; `end` < 0 = `value` is made. */
  start: number;
  end: number;
  isHuffman: boolean;
  /** Name, value and 32 (RFC 7541 §4.1). */
  readonly size: number;
  readonly staticIndex: number;
  /** The classes of the value's characters; CLASS_CONTROL also for blanks at either end. */
  readonly classes: number;
  /** The sending table that met it last, and its number there: spares that table a look-up. */
  sentIn: object | undefined = undefined;
  sentNumber = 0;

  constructor(
    name: HeaderName,
    value: string,
    start: number,
    end: number,
    isHuffman: boolean,
    size: number,
    staticIndex: number,
    classes: number,
  ) {
    this.name = name;
    this.value = value;
    this.start = start;
    this.end = end;
    this.isHuffman = isHuffman;
    this.size = size;
    this.staticIndex = staticIndex;
    this.classes = classes;
  }
}

const USUALLY_READ: ReadonlySet<string> = new Set([":path", "traceparent", "x-request-id"]);

const SENSITIVE: ReadonlySet<string> = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);

const KINDS: ReadonlyMap<string, number> = new Map([
  [":method", NAME.METHOD],
  [":scheme", NAME.SCHEME],
  [":authority", NAME.AUTHORITY],
  [":path", NAME.PATH],
  [":protocol", NAME.PROTOCOL],
  [":status", NAME.STATUS],
  ["connection", NAME.CONNECTION],
  ["keep-alive", NAME.CONNECTION],
  ["proxy-connection", NAME.CONNECTION],
  ["transfer-encoding", NAME.CONNECTION],
  ["upgrade", NAME.CONNECTION],
  ["te", NAME.TE],
  ["content-length", NAME.CONTENT_LENGTH],
  ["host", NAME.HOST],
  ["http2-settings", NAME.DROPPED],
]);

function hashText(text: string): number {
  let hash = text.length;
  for (let i = 0; i < text.length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash;
}

const LOWER_CASE_TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

function kindOf(text: string): number {
  const known = KINDS.get(text);
  if (known !== undefined) return known;
  if (text.startsWith(":")) return NAME.UNKNOWN_PSEUDO;
  return LOWER_CASE_TOKEN.test(text) ? NAME.ORDINARY : NAME.INVALID;
}

/** Names longer than this are not remembered by their bytes. */
const MAX_REMEMBERED_BYTES = 64;
const SLOTS = 1024;
const MAX_TEXTS = 2048;

/**
 * A bounded memory of names, shared by the connections of a thread: by text, and by coded bytes, so that a literal name is
 * neither decoded nor checked twice. A hostile peer can only make it forget.
 */
export class NameMemory {
  readonly #byText = new Map<string, HeaderName>();
  readonly #wellKnown: readonly HeaderName[];
  readonly #slotNames: (HeaderName | undefined)[] = Array.from({ length: SLOTS });
  readonly #slotBytes: (Buffer | undefined)[] = Array.from({ length: SLOTS });
  readonly #slotHuffman = new Uint8Array(SLOTS);

  constructor(wellKnown: readonly HeaderName[]) {
    this.#wellKnown = wellKnown;
    this.#refill();
  }

  ofText(text: string): HeaderName {
    const known = this.#byText.get(text);
    if (known !== undefined) {
      if (!known.isNew) return known;
      known.isNew = false;
      known.text = internalize(text);
      return known;
    }
    if (this.#byText.size >= MAX_TEXTS) this.#refill();
    const name = new HeaderName(text, 0);
    name.isNew = true;
    this.#byText.set(text, name);
    return name;
  }

  /** The name that these bytes of a literal spell; undefined when they are no Huffman code. */
  ofBytes(bytes: Uint8Array, start: number, end: number, isHuffman: boolean): HeaderName | undefined {
    const length = end - start;
    let hash = length;
    for (let i = start; i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const seen = this.#slotBytes[slot];
    const flag = isHuffman ? 1 : 0;
    if (seen !== undefined && seen.length === length && this.#slotHuffman[slot] === flag) {
      let i = 0;
      while (i < length && seen[i] === bytes[start + i]) i++;
      if (i === length) return this.#slotNames[slot];
    }
    if (isHuffman && scanHuffman(bytes, start, end) < 0) return undefined;
    const text = isHuffman
      ? decodeHuffman(bytes, start, end)
      : Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString("latin1");
    if (length > MAX_REMEMBERED_BYTES) return this.#byText.get(text) ?? new HeaderName(text, 0);
    const name = this.ofText(text);
    if (name.isNew) return name;
    this.#slotNames[slot] = name;
    this.#slotBytes[slot] = Buffer.from(bytes.slice(start, end));
    this.#slotHuffman[slot] = flag;
    return name;
  }

  #refill(): void {
    this.#byText.clear();
    for (const name of this.#wellKnown) this.#byText.set(name.text, name);
  }
}

/** The same text as a string of which the engine has one only, so that `===` with a literal compares pointers. */
function internalize(text: string): string {
  for (const key in { [text]: 0 }) return key;
  return text;
}
