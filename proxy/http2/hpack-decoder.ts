// HPACK, receiving (RFC 7541): a header block becomes flat arrays whose literals stay bytes, checked but not made into strings.
import { FIELD_HUFFMAN, FIELD_NEVER_INDEXED, FIELD_PEER_INDEXES, HeaderBlock } from "#lib/http/header-block.ts";
import { HeadFacts } from "./head-facts.ts";
import { DecoderTable } from "./hpack-table.ts";
import { NAME, type HeaderName } from "./hpack-names.ts";
import { nameMemory, STATIC_COUNT, STATIC_ENTRIES } from "./hpack-static.ts";
import { RepeatedLiterals } from "./repeated-literals.ts";
import {
  CLASS_CONTROL,
  CLASS_SPACE,
  decodeHuffman,
  mayTouchBlank,
  huffmanText,
  readHuffman,
  scanHuffman,
  scanPlain,
} from "./huffman.ts";

/** Longer integers than this are an attack (RFC 7541 §5.1). */
const MAX_INTEGER = 0x0fffffff;

/** With what we add ourselves, heads of so many octets are short ones: no field takes less than one. */
const SHORT_OCTETS = 4;

/** What a header block of so many octets is to be decoded into. */
export function makeBlockFor(octets: number): HeaderBlock {
  return new HeaderBlock(undefined, octets <= SHORT_OCTETS);
}

export class HpackDecoder {
  /** What the last block said of itself. */
  readonly facts = new HeadFacts();
  readonly #table: DecoderTable;
  readonly #repeated = new RepeatedLiterals();
  readonly #maxListBytes: number;
  readonly #maxFields: number;
  /** What we allow the peer's table to be. */
  #limitBytes: number;
  /** Where the last integer ended; -1 = it was cut or too large. */
  #next = 0;

  constructor(tableBytes: number, maxListBytes: number, maxFields: number) {
    this.#table = new DecoderTable(4096);
    // Until our SETTINGS are acknowledged the peer may still use the default size.
    this.#limitBytes = Math.max(tableBytes, 4096);
    this.#maxListBytes = maxListBytes;
    this.#maxFields = maxFields;
  }

  /** Our SETTINGS_HEADER_TABLE_SIZE is in force. */
  setLimit(bytes: number): void {
    this.#limitBytes = bytes;
    if (this.#table.maxBytes > bytes) this.#table.resize(bytes);
  }

  /**
   * Decodes one whole header block into `block` and `facts`. False: a compression error, the connection is lost. A malformed
   * or too large list is decoded to its end all the same, because the table must follow; `facts` says so.
   */
  decode(bytes: Buffer, start: number, end: number, block: HeaderBlock): boolean {
    const facts = this.facts;
    facts.begin();
    block.bytes = bytes;
    block.huffman = decodeHuffman;
    let at = start;
    let mayResize = true;
    while (at < end) {
      const first = bytes[at] ?? 0;
      if (first >= 0x80) {
        mayResize = false;
        let index = first & 0x7f;
        at++;
        if (index === 0x7f) {
          index = this.#integer(bytes, at, end, 0x7f);
          at = this.#next;
          if (at < 0) return false;
        }
        if (!this.#indexed(index, block)) return false;
      } else if (first >= 0x20 && first < 0x40) {
        if (!mayResize) return false;
        const size = this.#integer(bytes, at + 1, end, 0x1f, first & 0x1f);
        at = this.#next;
        if (at < 0 || size > this.#limitBytes) return false;
        this.#table.resize(size);
      } else {
        mayResize = false;
        at = this.#literal(bytes, at, end, first, block);
        if (at < 0) return false;
      }
    }
    return true;
  }

  #indexed(index: number, block: HeaderBlock): boolean {
    const entry = index <= STATIC_COUNT ? STATIC_ENTRIES[index] : this.#table.get(index - STATIC_COUNT - 1);
    if (entry === undefined) return false;
    const name = entry.name;
    if (!this.#fits(entry.size, block)) return true;
    block.addEntry(name.text, entry);
    this.#note(name, entry.classes, block);
    return true;
  }

  /** Gives where the field ends, or -1. */
  #literal(bytes: Buffer, start: number, end: number, first: number, block: HeaderBlock): number {
    const isIndexed = first >= 0x40;
    const mask = isIndexed ? 0x3f : 0x0f;
    let at = start + 1;
    let index = first & mask;
    if (index === mask) {
      index = this.#integer(bytes, at, end, mask);
      at = this.#next;
      if (at < 0) return -1;
    }
    let name: HeaderName | undefined;
    if (index > 0) {
      name = index <= STATIC_COUNT ? STATIC_ENTRIES[index]?.name : this.#table.nameAt(index - STATIC_COUNT - 1);
    } else {
      const prefix = bytes[at] ?? 0;
      const length = this.#integer(bytes, at + 1, end, 0x7f, prefix & 0x7f);
      if (at >= end || this.#next < 0) return -1;
      at = this.#next;
      if (length > end - at) return -1;
      if (!isIndexed && this.#isPastLimits(length)) return this.#skipValue(bytes, at + length, end, block);
      name = nameMemory.ofBytes(bytes, at, at + length, prefix >= 0x80);
      at += length;
    }
    if (name === undefined || at >= end) return -1;
    const prefix = bytes[at] ?? 0;
    const length = this.#integer(bytes, at + 1, end, 0x7f, prefix & 0x7f);
    at = this.#next;
    if (at < 0 || length > end - at) return -1;
    const valueEnd = at + length;
    const isHuffman = prefix >= 0x80;
    const isRead = isHuffman && name.isUsuallyRead;
    const scan = isRead
      ? readHuffman(bytes, at, valueEnd)
      : !isHuffman
        ? scanPlain(bytes, at, valueEnd)
        : isIndexed
          ? scanHuffman(bytes, at, valueEnd)
          : this.#repeated.scan(name, bytes, at, valueEnd, scanHuffman);
    if (scan < 0) return -1;
    let classes = scan & 15;
    if ((classes & CLASS_SPACE) !== 0 && hasOuterBlank(bytes, at, valueEnd, isHuffman)) classes |= CLASS_CONTROL;
    const valueLength = scan >>> 4;
    if (isIndexed) this.#table.insertBytes(name, bytes, at, valueEnd, isHuffman, valueLength, classes);
    if (this.#fits(name.text.length + valueLength + 32, block)) {
      const flags =
        (isHuffman ? FIELD_HUFFMAN : 0) |
        (isIndexed ? FIELD_PEER_INDEXES : (first & 0x10) !== 0 ? FIELD_NEVER_INDEXED : 0);
      if (isRead) block.addDecoded(name.text, huffmanText.value, at, valueEnd, flags);
      else block.addRaw(name.text, at, valueEnd, flags, name);
      this.#note(name, classes, block);
    }
    return valueEnd;
  }

  /** Whether a field with a name of so many octets is kept by nobody. */
  #isPastLimits(nameOctets: number): boolean {
    const { facts } = this;
    return facts.isTooLarge || facts.listBytes + nameOctets > this.#maxListBytes || facts.fields >= this.#maxFields;
  }

  /** The rest of a literal that nobody keeps: only its end matters, no name is made for it. */
  #skipValue(bytes: Buffer, start: number, end: number, block: HeaderBlock): number {
    if (start >= end) return -1;
    const length = this.#integer(bytes, start + 1, end, 0x7f, (bytes[start] ?? 0) & 0x7f);
    if (this.#next < 0 || length > end - this.#next) return -1;
    this.#markTooLarge(block);
    return this.#next + length;
  }

  /** Counts a field towards the limits; past them nothing is kept. */
  #fits(size: number, block: HeaderBlock): boolean {
    const facts = this.facts;
    facts.listBytes += size;
    facts.fields++;
    if (facts.listBytes <= this.#maxListBytes && facts.fields <= this.#maxFields) return true;
    this.#markTooLarge(block);
    return false;
  }

  #markTooLarge(block: HeaderBlock): void {
    if (this.facts.isTooLarge) return;
    this.facts.isTooLarge = true;
    block.clear();
  }

  #note(name: HeaderName, classes: number, block: HeaderBlock): void {
    const facts = this.facts;
    if ((classes & CLASS_CONTROL) !== 0) facts.refuse("a value with a control character or outer blanks");
    if (name.kind === NAME.ORDINARY) facts.sawRegular = true;
    else facts.note(name, classes, block, block.length - 1);
  }

  /** An integer whose prefix bits were all ones (or `value`); sets `#next`. RFC 7541 §5.1. */
  #integer(bytes: Buffer, start: number, end: number, mask: number, value = mask): number {
    this.#next = start;
    if (value < mask) return value;
    let at = start;
    let result = mask;
    for (let shift = 0; at < end && shift <= 28; shift += 7) {
      const byte = bytes[at++] ?? 0;
      result += (byte & 0x7f) * 2 ** shift;
      if (result > MAX_INTEGER) break;
      if (byte >= 0x80) continue;
      this.#next = at;
      return result;
    }
    this.#next = -1;
    return 0;
  }
}

/** Only for values known to hold a blank. RFC 9113 §8.2.1: none may begin or end one. */
function hasOuterBlank(bytes: Buffer, start: number, end: number, isHuffman: boolean): boolean {
  if (!isHuffman) return isBlank(bytes[start] ?? 0) || isBlank(bytes[end - 1] ?? 0);
  if (!mayTouchBlank(bytes, start, end)) return false;
  const text = decodeHuffman(bytes, start, end);
  return isBlank(text.charCodeAt(0)) || isBlank(text.charCodeAt(text.length - 1));
}

function isBlank(octet: number): boolean {
  return octet === 0x20 || octet === 0x09;
}
