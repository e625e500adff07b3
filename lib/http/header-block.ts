// One header or trailer block as flat arrays: read by name, changed in place, values made into strings only when asked for.

/**
 * Field flags: the value's bytes are Huffman-coded; the field must never enter an HPACK table (RFC 7541 §7.1.3); its sender's encoder
 * put this literal into its table: if it comes again, it will come as an index. Higher bits, up to 0x100, are a codec's own and are
 * gone after `detach`, `clone` and `set`.
 */
export const FIELD_HUFFMAN = 1;
export const FIELD_NEVER_INDEXED = 2;
export const FIELD_PEER_INDEXES = 4;

/** Turns the Huffman bytes of a value into a string; given by the HTTP/2 codec, so that this module knows no HPACK. */
export type HuffmanDecoder = (bytes: Buffer, start: number, end: number) => string;

/** What gave a field, compared by identity when it is relayed: an HPACK table's entry, or what only knows the name. */
export interface FieldSource {
  /** The field's whole value; undefined = only the name is known. */
  readonly value: string | undefined;
}

/** Of the number that holds a field's length and flags. */
const FLAG_BITS = 9;
const FLAG_MASK = (1 << FLAG_BITS) - 1;
const KEPT_FLAGS = FIELD_HUFFMAN | FIELD_NEVER_INDEXED | FIELD_PEER_INDEXES;

/**
 * What a block's arrays begin as. A copy of a full array is one move of memory; an array that grows field by field is made anew at
 * 17 fields and at 42. So many fields hold most heads, ours beside theirs.
 */
const FIELDS = 20;
const NO_NAMES: readonly string[] = Array.from({ length: FIELDS }, () => "");
const NO_VALUES: readonly (string | FieldSource | undefined)[] = Array.from({ length: FIELDS }, () => undefined);
const NO_SPANS: readonly number[] = Array.from({ length: FIELDS * 2 }, () => 0);
/** Trailers, and heads of which all is in a table, have few; arrays of twenty were most of what a gRPC call left behind. */
const FEW_FIELDS = 8;
const FEW_NAMES = NO_NAMES.slice(0, FEW_FIELDS);
const FEW_VALUES = NO_VALUES.slice(0, FEW_FIELDS);
const FEW_SPANS = NO_SPANS.slice(0, FEW_FIELDS * 2);

/**
 * Names are lower case and pseudo-headers (`:method`, `:scheme`, `:authority`, `:path`, `:protocol`, `:status`) are ordinary
 * fields that come first. A value is either a string or a range of `bytes`, of less than 8 MiB: such offsets are valid only within
 * the turn in which the block was received, unless `detach` was called. A WebSocket upgrade is held as HTTP/1.1 writes it (`GET`
 * with `connection: upgrade` and `upgrade: websocket`, answered with 101), whichever protocol carried it.
 */
export class HeaderBlock {
  /** Fields; the arrays below may be longer. */
  #length = 0;
  readonly #names: string[];
  /** A known value, or what gave the field, or undefined for bytes alone. */
  readonly #values: (string | FieldSource | undefined)[];
  /** Two for each field: where its bytes start (0 = it has none), and their length and the flags. */
  readonly #spans: number[];
  /** The letters of HTTP/1 names as they were sent; most blocks have none. */
  #rawNames: (string | undefined)[] | undefined = undefined;
  #octetsAtMost = 0;
  /** Where values lie that are ranges: a range starts above 0; what starts at 0 is only a string. */
  bytes: Buffer | undefined = undefined;
  #ownsBytes = false;
  huffman: HuffmanDecoder | undefined = undefined;

  /** `from`: the detached block to begin as a copy of (see `clone`). `isShort`: eight fields are likely to be enough. */
  constructor(from?: HeaderBlock, isShort = false) {
    if (from === undefined && isShort) {
      this.#names = FEW_NAMES.slice();
      this.#values = FEW_VALUES.slice();
      this.#spans = FEW_SPANS.slice();
      return;
    }
    if (from === undefined) {
      this.#names = NO_NAMES.slice();
      this.#values = NO_VALUES.slice();
      this.#spans = NO_SPANS.slice();
      return;
    }
    this.#names = from.#names.slice();
    this.#values = from.#values.slice();
    this.#spans = from.#spans.slice();
    this.#rawNames = from.#rawNames?.slice();
    this.#length = from.#length;
    this.#octetsAtMost = from.#octetsAtMost;
    this.bytes = from.bytes;
    this.#ownsBytes = true;
    this.huffman = from.huffman;
  }

  /** A block of these pairs, for replies and tests. */
  static of(...pairs: readonly (readonly [name: string, value: string])[]): HeaderBlock {
    const block = new HeaderBlock();
    for (const [name, value] of pairs) block.add(name, value);
    return block;
  }

  /** Fields. */
  get length(): number {
    return this.#length;
  }

  /**
   * At least the octets of all values and twice those of all names (a name of odd characters is longer in Huffman's code); what was
   * replaced or removed still counts. Kept as fields come, so that room for the block is made without a look at each.
   */
  get octetsAtMost(): number {
    return this.#octetsAtMost;
  }

  /** Appends a field whose value is known. `name` must be lower case; `rawName` is HTTP/1's spelling of it. */
  add(name: string, value: string, rawName?: string): void {
    this.#octetsAtMost += value.length;
    this.#push(name, value, 0, 0, rawName);
  }

  /** Appends a field whose value stays bytes (of `this.bytes`) until somebody asks. For codecs. */
  addRaw(name: string, start: number, end: number, flags: number, source?: FieldSource, rawName?: string): void {
    this.#octetsAtMost += end - start;
    this.#push(name, source, start, ((end - start) << FLAG_BITS) | flags, rawName);
  }

  /** The same for a value that was decoded already; its bytes can still be relayed. For codecs. */
  addDecoded(name: string, value: string, start: number, end: number, flags: number): void {
    this.#octetsAtMost += Math.max(end - start, value.length);
    this.#push(name, value, start, ((end - start) << FLAG_BITS) | flags, undefined);
  }

  /** Appends a field that an HPACK table entry gave whole. For codecs. */
  addEntry(name: string, entry: FieldSource): void {
    this.#octetsAtMost += entry.value?.length ?? 0;
    this.#push(name, entry, 0, 0, undefined);
  }

  /** The first value under this name, or undefined. */
  get(name: string): string | undefined {
    const index = this.indexOf(name);
    return index < 0 ? undefined : this.valueAt(index);
  }

  has(name: string): boolean {
    return this.indexOf(name) >= 0;
  }

  /** All values under this name joined by `, ` (`; ` for cookie), or undefined: what a matcher looks at. */
  getJoined(name: string): string | undefined {
    let joined: string | undefined;
    for (let i = this.indexOf(name); i >= 0; i = this.indexOf(name, i + 1)) {
      const value = this.valueAt(i);
      joined = joined === undefined ? value : `${joined}${name === "cookie" ? "; " : ", "}${value}`;
    }
    return joined;
  }

  /** Replaces all values under this name by one, in the place of the first; appends when there is none. */
  set(name: string, value: string): void {
    const first = this.indexOf(name);
    if (first < 0) {
      this.add(name, value);
      return;
    }
    this.setValueAt(first, value);
    for (let i = this.#length - 1; i > first; i--) if (this.#names[i] === name) this.#removeAt(i);
  }

  /** Removes all values under this name; says whether there were any. */
  delete(name: string): boolean {
    const first = this.indexOf(name);
    if (first < 0) return false;
    for (let i = this.#length - 1; i >= first; i--) if (this.#names[i] === name) this.#removeAt(i);
    return true;
  }

  /** Removes the fields whose name the test accepts. */
  deleteWhere(test: (name: string) => boolean): void {
    for (let i = this.#length - 1; i >= 0; i--) if (test(this.#names[i] ?? "")) this.#removeAt(i);
  }

  /** Removes all fields. */
  clear(): void {
    for (let i = this.#length - 1; i >= 0; i--) this.#removeAt(i);
  }

  /** The place of the first field of this name from `from` on, or -1. */
  indexOf(name: string, from = 0): number {
    const names = this.#names;
    for (let i = from; i < this.#length; i++) if (names[i] === name) return i;
    return -1;
  }

  nameAt(index: number): string {
    return this.#names[index] ?? "";
  }

  valueAt(index: number): string {
    return this.knownValueAt(index) ?? this.#decode(index);
  }

  /** The value if it is a string already; undefined = it is bytes. */
  knownValueAt(index: number): string | undefined {
    const value = this.#values[index];
    return typeof value === "string" ? value : value?.value;
  }

  /** Replaces one value; of the flags only that it must not be indexed stays. */
  setValueAt(index: number, value: string): void {
    this.#octetsAtMost += value.length;
    this.#values[index] = value;
    this.#spans[index * 2] = 0;
    this.#spans[index * 2 + 1] = (this.#spans[index * 2 + 1] ?? 0) & FIELD_NEVER_INDEXED;
  }

  /** Replaces one value by a range of `bytes`. For codecs. */
  setRangeAt(index: number, start: number, end: number): void {
    this.#octetsAtMost += end - start;
    this.#values[index] = undefined;
    this.#spans[index * 2] = start;
    this.#spans[index * 2 + 1] = (end - start) << FLAG_BITS;
  }

  /** Gives one field another name and keeps its value. */
  renameAt(index: number, name: string): void {
    if (typeof this.#values[index] === "object") this.#values[index] = this.knownValueAt(index);
    this.#octetsAtMost += name.length * 2;
    this.#names[index] = name;
  }

  /** Where the value's bytes start; 0 = it has none. */
  startAt(index: number): number {
    return this.#spans[index * 2] ?? 0;
  }

  endAt(index: number): number {
    return (this.#spans[index * 2] ?? 0) + ((this.#spans[index * 2 + 1] ?? 0) >>> FLAG_BITS);
  }

  flagsAt(index: number): number {
    return (this.#spans[index * 2 + 1] ?? 0) & FLAG_MASK;
  }

  /** What gave the field, until its value was decoded or changed. For codecs. */
  sourceAt(index: number): FieldSource | undefined {
    const value = this.#values[index];
    return typeof value === "string" ? undefined : value;
  }

  /** The name as HTTP/1 spelled it; undefined = in lower case, or HTTP/2. */
  rawNameAt(index: number): string | undefined {
    return this.#rawNames?.[index];
  }

  setRawNameAt(index: number, rawName: string): void {
    this.#rawNames ??= [];
    this.#rawNames[index] = rawName;
  }

  /** Whether any name was spelled by HTTP/1. */
  get hasRawNames(): boolean {
    return this.#rawNames?.some((raw) => raw !== undefined) === true;
  }

  /** Calls for each field in order. Not for the hot path. */
  forEach(visit: (name: string, value: string) => void): void {
    for (let i = 0; i < this.#length; i++) visit(this.nameAt(i), this.valueAt(i));
  }

  /**
   * Makes the block independent of the receive buffer: call before pausing, retrying, mirroring or keeping it. Copies the bytes,
   * which stay as they were coded, and makes no strings.
   */
  detach(): void {
    const bytes = this.bytes;
    if (bytes === undefined || this.#ownsBytes) return;
    const spans = this.#spans;
    const end = this.#length * 2;
    let from = bytes.length;
    let to = 0;
    for (let i = 0; i < end; i += 2) {
      const start = spans[i] ?? 0;
      if (start === 0) continue;
      const behind = start + ((spans[i + 1] ?? 0) >>> FLAG_BITS);
      if (start < from) from = start;
      if (behind > to) to = behind;
    }
    this.#ownsBytes = true;
    if (from >= to) return;
    // One copy of all that lies between the first value and the last costs less than one for each value (names lie between
    // them, so it is about the head's size). A value never starts at 0: that place says "no bytes".
    const own = Buffer.allocUnsafe(to - from + 1);
    bytes.copy(own, 1, from, to);
    const shift = from - 1;
    for (let i = 0; i < end; i += 2) {
      const start = spans[i] ?? 0;
      if (start === 0) continue;
      spans[i] = start - shift;
      // What a codec noted beside these speaks of the bytes around the value.
      spans[i + 1] = (spans[i + 1] ?? 0) & ~(FLAG_MASK ^ KEPT_FLAGS);
    }
    this.bytes = own;
  }

  /** A detached copy. It makes no strings: this block is detached too, and both share the bytes, which never change again. */
  clone(): HeaderBlock {
    this.detach();
    return new HeaderBlock(this);
  }

  #decode(index: number): string {
    const bytes = this.bytes;
    if (bytes === undefined)
      throw new Error(`Cannot read header "${this.#names[index]}": its bytes are gone; detach() the block first`);
    const start = this.startAt(index);
    const end = this.endAt(index);
    let made: string;
    if ((this.flagsAt(index) & FIELD_HUFFMAN) === 0) made = bytes.toString("latin1", start, end);
    else if (this.huffman === undefined)
      throw new Error("Cannot read a Huffman-coded header: the block has no decoder");
    else made = this.huffman(bytes, start, end);
    this.#values[index] = made;
    return made;
  }

  #push(
    name: string,
    value: string | FieldSource | undefined,
    start: number,
    lengthAndFlags: number,
    rawName: string | undefined,
  ): void {
    const i = this.#length++;
    this.#octetsAtMost += name.length * 2;
    this.#names[i] = name;
    this.#values[i] = value;
    this.#spans[i * 2] = start;
    this.#spans[i * 2 + 1] = lengthAndFlags;
    if (rawName !== undefined) this.setRawNameAt(i, rawName);
    else if (this.#rawNames !== undefined && i < this.#rawNames.length) this.#rawNames[i] = undefined;
  }

  #removeAt(index: number): void {
    const last = --this.#length;
    const names = this.#names;
    const values = this.#values;
    const spans = this.#spans;
    for (let i = index; i < last; i++) {
      names[i] = names[i + 1] ?? "";
      values[i] = values[i + 1];
      spans[i * 2] = spans[i * 2 + 2] ?? 0;
      spans[i * 2 + 1] = spans[i * 2 + 3] ?? 0;
    }
    values[last] = undefined;
    if (this.#rawNames !== undefined && index < this.#rawNames.length) this.#rawNames.splice(index, 1);
  }
}
