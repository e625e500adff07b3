// The encoder's dynamic table: finds a field by the object that a peer's table gave, or by what it says.
import { HeaderEntry, type HeaderName } from "./hpack-names.ts";
import { scanHuffman } from "./huffman.ts";

/** A field that the peer's decoder holds. Its value is known as text, or as the bytes that were relayed. */
class SentField {
  readonly name: HeaderName;
  readonly text: string | undefined;
  readonly bytes: Buffer | undefined;
  readonly isHuffman: boolean;
  readonly size: number;
  readonly hash: number;

  constructor(
    name: HeaderName,
    text: string | undefined,
    bytes: Buffer | undefined,
    isHuffman: boolean,
    size: number,
    hash: number,
  ) {
    this.name = name;
    this.text = text;
    this.bytes = bytes;
    this.isHuffman = isHuffman;
    this.size = size;
    this.hash = hash;
  }
}

const SLOTS = 256;
/**
 * A connection that made a request or two needs fewer, and has them in V8's heap: typed arrays of more than 64 bytes have memory of their
 * own. 4,200 idle connections have 3.3 MB in array buffers instead of 16.0; what is resident hardly changes (16.2 KiB each, was 16.4).
 */
const FIRST_PLACES = 8;
const FIRST_MET = 16;
/** More remembered objects than this, of which most are long evicted, and they are all forgotten. */
const MAX_IDENTITIES = 1024;

/**
 * A field gets a place only when it is met a second time, so that unique ids never push out what is worth a place. What a
 * peer's table gave by index was met twice already. Allocates nothing until the first such field.
 */
export class SentTable {
  maxBytes: number;
  #bytes = 0;
  #ring: SentField[] = [];
  #inserted = 0;
  #length = 0;
  #identities: Map<HeaderEntry, number> | undefined = undefined;
  /** By hash: the field's number in order of insertion plus one, and the hash last met there. */
  #places: Float64Array | undefined = undefined;
  #met: Int32Array | undefined = undefined;
  #metCount = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#evict(maxBytes);
  }

  /** The distance from the newest of the field that this entry is; -1 = not there. */
  findEntry(entry: HeaderEntry): number {
    let number = entry.sentNumber;
    if (entry.sentIn !== this) {
      const known = this.#identities?.get(entry);
      if (known === undefined) return -1;
      number = known;
      entry.sentIn = this;
      entry.sentNumber = known;
    }
    return number < this.#inserted - this.#length ? -1 : this.#inserted - 1 - number;
  }

  /** The same by content, for an entry that was not met here before. */
  findAlias(entry: HeaderEntry): number {
    const distance = this.findText(entry.name, entry.value, hashText(entry.name, entry.value));
    if (distance >= 0) this.#remember(entry, this.#inserted - 1 - distance);
    return distance;
  }

  findText(name: HeaderName, text: string, hash: number): number {
    const number = this.#placeOf(hash) - 1;
    if (number < this.#inserted - this.#length || number < 0) return -1;
    const field = this.#ring[number & (this.#ring.length - 1)];
    if (field === undefined || field.name !== name) return -1;
    if (field.text !== undefined ? field.text !== text : !equalsText(field, text)) return -1;
    return this.#inserted - 1 - number;
  }

  findBytes(name: HeaderName, bytes: Uint8Array, start: number, end: number, isHuffman: boolean, hash: number): number {
    const number = this.#placeOf(hash) - 1;
    if (number < this.#inserted - this.#length || number < 0) return -1;
    const field = this.#ring[number & (this.#ring.length - 1)];
    if (field === undefined || field.name !== name) return -1;
    return equalsBytes(field, bytes, start, end, isHuffman) ? this.#inserted - 1 - number : -1;
  }

  /** Whether a field with this hash was met lately; remembers that it is met now. */
  isMetAgain(hash: number): boolean {
    let met = (this.#met ??= new Int32Array(FIRST_MET));
    const slot = (hash ^ (hash >>> 8)) & (met.length - 1);
    if (met[slot] === hash) return true;
    // What was met until now must then be met once more.
    if (met.length < SLOTS && ++this.#metCount > FIRST_MET * 4) met = this.#met = new Int32Array(SLOTS);
    met[(hash ^ (hash >>> 8)) & (met.length - 1)] = hash;
    return false;
  }

  /** Whether a field of this size may have a place: one that would push out most others may not. */
  hasPlaceFor(size: number): boolean {
    return size * 2 <= this.maxBytes;
  }

  insertEntry(entry: HeaderEntry): void {
    this.#insert(
      new SentField(entry.name, entry.value, undefined, false, entry.size, hashText(entry.name, entry.value)),
    );
    this.#remember(entry, this.#inserted - 1);
  }

  insertText(name: HeaderName, text: string, hash: number): void {
    this.#insert(new SentField(name, text, undefined, false, name.text.length + text.length + 32, hash));
  }

  insertBytes(name: HeaderName, bytes: Uint8Array, start: number, end: number, isHuffman: boolean, hash: number): void {
    const size = name.text.length + valueLength(bytes, start, end, isHuffman) + 32;
    this.#insert(new SentField(name, undefined, Buffer.from(bytes.slice(start, end)), isHuffman, size, hash));
  }

  #remember(entry: HeaderEntry, number: number): void {
    this.#identities ??= new Map();
    if (this.#identities.size >= MAX_IDENTITIES) this.#identities.clear();
    this.#identities.set(entry, number);
    entry.sentIn = this;
    entry.sentNumber = number;
  }

  #placeOf(hash: number): number {
    const places = this.#places;
    return places === undefined ? 0 : (places[hash & (places.length - 1)] ?? 0);
  }

  #insert(field: SentField): void {
    this.#evict(this.maxBytes - field.size);
    if (this.#length === this.#ring.length) this.#grow(field);
    this.#ring[this.#inserted & (this.#ring.length - 1)] = field;
    this.#inserted++;
    this.#length++;
    this.#bytes += field.size;
    const places = (this.#places ??= new Float64Array(FIRST_PLACES));
    places[field.hash & (places.length - 1)] = this.#inserted;
  }

  #evict(toBytes: number): void {
    while (this.#length > 0 && this.#bytes > toBytes) {
      this.#bytes -= this.#ring[(this.#inserted - this.#length) & (this.#ring.length - 1)]?.size ?? 0;
      this.#length--;
    }
  }

  /** Doubles the ring; numbers stay. The first time that it is full, fields get more places. */
  #grow(filler: SentField): void {
    const old = this.#ring;
    const capacity = Math.max(8, old.length * 2);
    const ring = Array.from({ length: capacity }, () => filler);
    for (let number = this.#inserted - this.#length; number < this.#inserted; number++)
      ring[number & (capacity - 1)] = old[number & (old.length - 1)] ?? filler;
    this.#ring = ring;
    if (capacity <= FIRST_PLACES || this.#places?.length === SLOTS) return;
    const places = (this.#places = new Float64Array(SLOTS));
    for (let number = this.#inserted - this.#length; number < this.#inserted; number++) {
      const hash = ring[number & (capacity - 1)]?.hash ?? 0;
      places[hash & (SLOTS - 1)] = number + 1;
    }
  }
}

/** Equal for a text and for the same octets plain. Looks at the length, the first octet and the last eight, for speed. */
export function hashText(name: HeaderName, text: string): number {
  const length = text.length;
  let hash = (name.salt + length) | 0;
  if (length > 0) hash = (Math.imul(hash, 31) + text.charCodeAt(0)) | 0;
  for (let i = Math.max(0, length - 8); i < length; i++) hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
  return hash ^ (hash >>> 15);
}

export function hashBytes(name: HeaderName, bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  let hash = (name.salt + length) | 0;
  if (length > 0) hash = (Math.imul(hash, 31) + (bytes[start] ?? 0)) | 0;
  for (let i = Math.max(start, end - 8); i < end; i++) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  return hash ^ (hash >>> 15);
}

function valueLength(bytes: Uint8Array, start: number, end: number, isHuffman: boolean): number {
  return isHuffman ? scanHuffman(bytes, start, end) >>> 4 : end - start;
}

function equalsText(field: SentField, text: string): boolean {
  const bytes = field.bytes;
  if (bytes === undefined || field.isHuffman || bytes.length !== text.length) return false;
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== text.charCodeAt(i)) return false;
  return true;
}

function equalsBytes(field: SentField, bytes: Uint8Array, start: number, end: number, isHuffman: boolean): boolean {
  const own = field.bytes;
  const length = end - start;
  if (own !== undefined) {
    if (own.length !== length || field.isHuffman !== isHuffman) return false;
    for (let i = 0; i < length; i++) if (own[i] !== bytes[start + i]) return false;
    return true;
  }
  const text = field.text;
  if (text === undefined || isHuffman || text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}
