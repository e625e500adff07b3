// HPACK, sending: relays what was received without making strings, and indexes only what comes again.
import { FIELD_HUFFMAN, FIELD_NEVER_INDEXED, FIELD_PEER_INDEXES, type HeaderBlock } from "#lib/http/header-block.ts";
import { HeaderEntry, HeaderName, NAME } from "./hpack-names.ts";
import { hashBytes, hashText, SentTable } from "./hpack-sent.ts";
import { nameMemory, STATIC_COUNT, STATIC_STATUS } from "./hpack-static.ts";

/** Literal representations (RFC 7541 §6.2): the pattern, and the bits left for the name's index. */
const WITHOUT_INDEXING = 0x00;
const NEVER_INDEXED = 0x10;
const WITH_INDEXING = 0x40;

const COLON = 58;

/** Below this a loop is quicker than a call into the engine. */
const LOOP_BYTES = 48;

export class HpackEncoder {
  readonly #table: SentTable;
  readonly #ownLimitBytes: number;
  #out: Buffer = Buffer.alloc(0);
  #at = 0;
  /** The smallest size since the last block, and whether one must be announced (RFC 7541 §4.2). */
  #smallestBytes = 0;
  #mustResize = false;

  constructor(tableBytes: number) {
    this.#ownLimitBytes = tableBytes;
    this.#table = new SentTable(4096);
    this.#smallestBytes = 4096;
    this.setLimit(4096);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setLimit(peerBytes: number): void {
    const bytes = Math.min(peerBytes, this.#ownLimitBytes);
    if (bytes === this.#table.maxBytes) return;
    if (!this.#mustResize || bytes < this.#smallestBytes) this.#smallestBytes = bytes;
    this.#mustResize = true;
    this.#table.resize(bytes);
  }

  /** More octets than the block can take when encoded. */
  bound(block: HeaderBlock): number {
    return 32 + block.octetsAtMost + block.length * 16;
  }

  /** Whether the list is larger than so many octets as SETTINGS_MAX_HEADER_LIST_SIZE counts them; makes strings only near the limit. */
  exceeds(block: HeaderBlock, limitBytes: number): boolean {
    // The shortest Huffman codes have 5 bits: coded octets make at most 8/5 as many.
    if (block.octetsAtMost * 1.6 + block.length * 32 <= limitBytes) return false;
    let bytes = 0;
    for (let i = 0; i < block.length; i++) bytes += block.nameAt(i).length + block.valueAt(i).length + 32;
    return bytes > limitBytes;
  }

  /**
   * Writes the block at `at` of `out`, which has `bound` octets left, and gives the end. Pseudo-headers go first, wherever they
   * are. What belongs to an HTTP/1 connection stays behind, and so does `host` where `:authority` says the same.
   */
  encode(block: HeaderBlock, out: Buffer, at: number, dropsHost: boolean): number {
    this.#out = out;
    this.#at = at;
    if (this.#mustResize) this.#announceSize();
    const length = block.length;
    let isOrdered = true;
    let i = 0;
    while (i < length && block.nameAt(i).charCodeAt(0) === COLON) this.#field(block, i++, dropsHost);
    const firstRegular = i;
    for (; i < length; i++) {
      if (block.nameAt(i).charCodeAt(0) !== COLON) continue;
      isOrdered = false;
      this.#field(block, i, dropsHost);
    }
    for (i = firstRegular; i < length; i++) {
      if (!isOrdered && block.nameAt(i).charCodeAt(0) === COLON) continue;
      this.#field(block, i, dropsHost);
    }
    return this.#at;
  }

  #field(block: HeaderBlock, i: number, dropsHost: boolean): void {
    const known = block.sourceAt(i);
    if (known instanceof HeaderEntry) {
      this.#entry(known, block.flagsAt(i), dropsHost);
      return;
    }
    const name = known instanceof HeaderName ? known : nameMemory.ofText(block.nameAt(i));
    const start = block.startAt(i);
    const bytes = block.bytes;
    if (name.kind !== NAME.ORDINARY) {
      if (name.kind >= NAME.INVALID && this.#isDropped(name, block, i, dropsHost)) return;
      if (name.kind < NAME.UNKNOWN_PSEUDO && this.#staticPseudo(name, block, i)) return;
    }
    if (start > 0 && bytes !== undefined) this.#raw(name, bytes, start, block.endAt(i), block.flagsAt(i));
    else this.#text(name, block.valueAt(i), block.flagsAt(i));
  }

  #isDropped(name: HeaderName, block: HeaderBlock, i: number, dropsHost: boolean): boolean {
    switch (name.kind) {
      case NAME.TE:
        if (block.valueAt(i) === "trailers") return false;
        if (/(?:^|,)\s*trailers\s*(?:,|$)/i.test(block.valueAt(i))) this.#text(name, "trailers", 0);
        return true;
      case NAME.CONTENT_LENGTH:
        return false;
      case NAME.HOST:
        return dropsHost;
      default:
        return true;
    }
  }

  /** Fields of an HTTP/1 message, or of our own: what the static table holds whole. */
  #staticPseudo(name: HeaderName, block: HeaderBlock, i: number): boolean {
    const value = block.knownValueAt(i);
    let index = 0;
    if (value === undefined) return false;
    if (name.kind === NAME.METHOD) index = value === "GET" ? 2 : value === "POST" ? 3 : 0;
    else if (name.kind === NAME.SCHEME) index = value === "http" ? 6 : value === "https" ? 7 : 0;
    else if (name.kind === NAME.STATUS) index = STATIC_STATUS.get(value)?.staticIndex ?? 0;
    else if (name.kind === NAME.PATH && value === "/") index = 4;
    if (index === 0) return false;
    this.#out[this.#at++] = 0x80 | index;
    return true;
  }

  #entry(entry: HeaderEntry, flags: number, dropsHost: boolean): void {
    if (entry.staticIndex > 0 && (entry.value !== "" || entry.name.kind === NAME.ORDINARY)) {
      this.#out[this.#at++] = 0x80 | entry.staticIndex;
      return;
    }
    const name = entry.name;
    if (name.kind === NAME.HOST && dropsHost) return;
    if (name.isSensitive || (flags & FIELD_NEVER_INDEXED) !== 0) {
      this.#text(name, entry.value, flags);
      return;
    }
    const table = this.#table;
    let distance = table.findEntry(entry);
    if (distance < 0) distance = table.findAlias(entry);
    if (distance >= 0) {
      this.#integer(0x80, 0x7f, STATIC_COUNT + 1 + distance);
      return;
    }
    const isIndexed = table.hasPlaceFor(entry.size);
    this.#literalText(name, entry.value, isIndexed ? WITH_INDEXING : WITHOUT_INDEXING);
    if (isIndexed) table.insertEntry(entry);
  }

  #raw(name: HeaderName, bytes: Buffer, start: number, end: number, flags: number): void {
    const isHuffman = (flags & FIELD_HUFFMAN) !== 0;
    let pattern = WITHOUT_INDEXING;
    if ((flags & FIELD_NEVER_INDEXED) !== 0) pattern = NEVER_INDEXED;
    else if (!name.isSensitive && (flags & FIELD_PEER_INDEXES) === 0) {
      const table = this.#table;
      const hash = hashBytes(name, bytes, start, end);
      const distance = table.findBytes(name, bytes, start, end, isHuffman, hash);
      if (distance >= 0) {
        this.#integer(0x80, 0x7f, STATIC_COUNT + 1 + distance);
        return;
      }
      // The decoded length is not known here without a walk; a Huffman code makes at most 8/5 of its octets.
      const size = name.text.length + (isHuffman ? ((end - start) * 8) / 5 : end - start) + 32;
      if (table.isMetAgain(hash) && table.hasPlaceFor(size)) {
        pattern = WITH_INDEXING;
        this.#name(name, pattern);
        this.#bytes(bytes, start, end, isHuffman);
        table.insertBytes(name, bytes, start, end, isHuffman, hash);
        return;
      }
    }
    this.#name(name, pattern);
    this.#bytes(bytes, start, end, isHuffman);
  }

  #text(name: HeaderName, text: string, flags: number): void {
    if ((flags & FIELD_NEVER_INDEXED) !== 0) {
      this.#literalText(name, text, NEVER_INDEXED);
      return;
    }
    if (name.isSensitive) {
      this.#literalText(name, text, WITHOUT_INDEXING);
      return;
    }
    const table = this.#table;
    const hash = hashText(name, text);
    const distance = table.findText(name, text, hash);
    if (distance >= 0) {
      this.#integer(0x80, 0x7f, STATIC_COUNT + 1 + distance);
      return;
    }
    const isIndexed = table.isMetAgain(hash) && table.hasPlaceFor(name.text.length + text.length + 32);
    this.#literalText(name, text, isIndexed ? WITH_INDEXING : WITHOUT_INDEXING);
    if (isIndexed) table.insertText(name, text, hash);
  }

  #literalText(name: HeaderName, text: string, pattern: number): void {
    this.#name(name, pattern);
    const length = text.length;
    this.#integer(0, 0x7f, length);
    const out = this.#out;
    const at = this.#at;
    if (length < 16) for (let i = 0; i < length; i++) out[at + i] = text.charCodeAt(i);
    else out.write(text, at, length, "latin1");
    this.#at = at + length;
  }

  #name(name: HeaderName, pattern: number): void {
    if (name.staticIndex > 0) {
      this.#integer(pattern, pattern === WITH_INDEXING ? 0x3f : 0x0f, name.staticIndex);
      return;
    }
    const out = this.#out;
    out[this.#at++] = pattern;
    const wire = name.wire;
    let at = this.#at;
    for (let i = 0; i < wire.length; i++) out[at++] = wire[i] ?? 0;
    this.#at = at;
  }

  #bytes(bytes: Buffer, start: number, end: number, isHuffman: boolean): void {
    const length = end - start;
    this.#integer(isHuffman ? 0x80 : 0, 0x7f, length);
    const out = this.#out;
    let at = this.#at;
    if (length <= LOOP_BYTES) for (let i = start; i < end; i++) out[at++] = bytes[i] ?? 0;
    else at += bytes.copy(out, at, start, end);
    this.#at = at;
  }

  #integer(pattern: number, mask: number, value: number): void {
    const out = this.#out;
    if (value < mask) {
      out[this.#at++] = pattern | value;
      return;
    }
    out[this.#at++] = pattern | mask;
    let rest = value - mask;
    while (rest >= 128) {
      out[this.#at++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    out[this.#at++] = rest;
  }

  #announceSize(): void {
    this.#mustResize = false;
    const bytes = this.#table.maxBytes;
    if (this.#smallestBytes < bytes) this.#integer(0x20, 0x1f, this.#smallestBytes);
    this.#integer(0x20, 0x1f, bytes);
  }
}
