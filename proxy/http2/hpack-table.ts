// The decoder's dynamic table (RFC 7541 §2.3.2): values stay coded bytes until an index asks for one a second time.
import { decodeHuffman } from "./huffman.ts";
import { HeaderEntry, type HeaderName } from "./hpack-names.ts";

const EMPTY = Buffer.alloc(0);
const FIRST_STORE_BYTES = 512;

/** Allocates nothing until the first insertion: most idle connections never need it. */
export class DecoderTable {
  /** The size in force, set by the peer's encoder. */
  maxBytes: number;
  #bytes = 0;
  #ring: HeaderEntry[] = [];
  #inserted = 0;
  #length = 0;
  #store = EMPTY;
  #storeEnd = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** The entry at this distance from the newest, its value made; undefined when there is none. */
  get(distance: number): HeaderEntry | undefined {
    if (distance >= this.#length) return undefined;
    const entry = this.#ring[(this.#inserted - 1 - distance) & (this.#ring.length - 1)];
    if (entry !== undefined && entry.end >= 0) {
      const store = this.#store;
      entry.value = entry.isHuffman
        ? decodeHuffman(store, entry.start, entry.end)
        : store.toString("latin1", entry.start, entry.end);
      entry.end = -1;
    }
    return entry;
  }

  /** The name at this distance, without making the value. */
  nameAt(distance: number): HeaderName | undefined {
    if (distance >= this.#length) return undefined;
    return this.#ring[(this.#inserted - 1 - distance) & (this.#ring.length - 1)]?.name;
  }

  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#evict(maxBytes);
  }

  /** Enters a literal; one larger than the table empties it (RFC 7541 §4.4). `valueLength` is the decoded length. */
  insertBytes(
    name: HeaderName,
    bytes: Uint8Array,
    start: number,
    end: number,
    isHuffman: boolean,
    valueLength: number,
    classes: number,
  ): void {
    const size = name.text.length + valueLength + 32;
    this.#evict(this.maxBytes - size);
    if (size > this.maxBytes) return;
    const length = end - start;
    if (this.#storeEnd + length > this.#store.length) this.#compact(length);
    const at = this.#storeEnd;
    const store = this.#store;
    for (let i = 0; i < length; i++) store[at + i] = bytes[start + i] ?? 0;
    this.#storeEnd = at + length;
    this.#push(new HeaderEntry(name, "", at, at + length, isHuffman, size, 0, classes));
  }

  #push(entry: HeaderEntry): void {
    if (this.#length === this.#ring.length) this.#grow(entry);
    this.#ring[this.#inserted & (this.#ring.length - 1)] = entry;
    this.#inserted++;
    this.#length++;
    this.#bytes += entry.size;
  }

  #evict(toBytes: number): void {
    while (this.#length > 0 && this.#bytes > toBytes) {
      const oldest = this.#ring[(this.#inserted - this.#length) & (this.#ring.length - 1)];
      this.#bytes -= oldest?.size ?? 0;
      this.#length--;
    }
  }

  #grow(filler: HeaderEntry): void {
    const old = this.#ring;
    const ring: HeaderEntry[] = [];
    for (let i = 0; i < this.#length; i++) {
      const entry = old[(this.#inserted - this.#length + i) & (old.length - 1)];
      if (entry !== undefined) ring.push(entry);
    }
    this.#inserted = this.#length;
    while (ring.length < Math.max(8, this.#length * 2)) ring.push(filler);
    this.#ring = ring;
  }

  /** Moves what is still needed to the front; a larger store when that is more than half of it. */
  #compact(room: number): void {
    let live = room;
    for (let i = this.#length; i > 0; i--) {
      const entry = this.#ring[(this.#inserted - i) & (this.#ring.length - 1)];
      if (entry !== undefined && entry.end >= 0) live += entry.end - entry.start;
    }
    const old = this.#store;
    const store =
      live * 2 > old.length ? Buffer.allocUnsafeSlow(Math.max(FIRST_STORE_BYTES, live * 2 + (live >> 1))) : old;
    let at = 0;
    for (let i = this.#length; i > 0; i--) {
      const entry = this.#ring[(this.#inserted - i) & (this.#ring.length - 1)];
      if (entry === undefined || entry.end < 0) continue;
      const length = entry.end - entry.start;
      old.copy(store, at, entry.start, entry.end);
      entry.start = at;
      at += length;
      entry.end = at;
    }
    this.#store = store;
    this.#storeEnd = at;
  }
}
