// One header or trailer block as flat arrays: read by name, changed in place, values made into strings only when asked for.

/**
 * Field flags: the value's bytes are Huffman-coded; the field must never enter an HPACK table (RFC 7541 §7.1.3). Higher bits are
 * a codec's own and are gone after `detach`, `clone` and `set`.
 */
export const FIELD_HUFFMAN = 1;
export const FIELD_NEVER_INDEXED = 2;

/** Turns the Huffman bytes of a value into a string; given by the HTTP/2 codec, so that this module knows no HPACK. */
export type HuffmanDecoder = (bytes: Buffer, start: number, end: number) => string;

/**
 * Names are lower case and pseudo-headers (`:method`, `:scheme`, `:authority`, `:path`, `:protocol`, `:status`) are ordinary
 * fields that come first. A value is either a string or a range of `bytes`: such offsets are valid only within the turn in
 * which the block was received, unless `detach` was called. A WebSocket upgrade is held as HTTP/1.1 writes it (`GET` with
 * `connection: upgrade` and `upgrade: websocket`, answered with 101), whichever protocol carried it.
 */
export class HeaderBlock {
  length = 0;
  readonly names: string[] = [];
  readonly values: (string | undefined)[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  readonly flags: number[] = [];
  /** The HPACK table entry that gave the field, compared by identity when it is relayed. Reset when the value is changed. */
  readonly entries: (object | undefined)[] = [];
  /** The letters of an HTTP/1 name as it was sent; undefined = the lower-case name. */
  readonly rawNames: (string | undefined)[] = [];
  /** Where values lie that are ranges: a range starts above 0; what starts at 0 is only a string. */
  bytes: Buffer | undefined = undefined;
  #ownsBytes = false;
  huffman: HuffmanDecoder | undefined = undefined;

  /** A block of these pairs, for replies and tests. */
  static of(...pairs: readonly (readonly [name: string, value: string])[]): HeaderBlock {
    const block = new HeaderBlock();
    for (const [name, value] of pairs) block.add(name, value);
    return block;
  }

  /** Appends a field whose value is known. `name` must be lower case. */
  add(name: string, value: string, rawName?: string): void {
    this.#push(name, value, 0, 0, 0, undefined, rawName);
  }

  /** Appends a field whose value stays bytes (of `this.bytes`) until somebody asks. For codecs. */
  addRaw(name: string, start: number, end: number, flags: number, entry?: object, rawName?: string): void {
    this.#push(name, undefined, start, end, flags, entry, rawName);
  }

  /** Appends a field that an HPACK table entry gave whole. For codecs. */
  addEntry(name: string, value: string, entry: object): void {
    this.#push(name, value, 0, 0, 0, entry, undefined);
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
    for (let i = 0; i < this.length; i++) {
      if (this.names[i] !== name) continue;
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
    this.values[first] = value;
    this.starts[first] = 0;
    this.ends[first] = 0;
    this.entries[first] = undefined;
    this.flags[first] = (this.flags[first] ?? 0) & FIELD_NEVER_INDEXED;
    for (let i = this.length - 1; i > first; i--) if (this.names[i] === name) this.#removeAt(i);
  }

  /** Removes all values under this name; says whether there were any. */
  delete(name: string): boolean {
    let removed = false;
    for (let i = this.length - 1; i >= 0; i--) {
      if (this.names[i] !== name) continue;
      this.#removeAt(i);
      removed = true;
    }
    return removed;
  }

  /** Removes the fields whose name the test accepts. */
  deleteWhere(test: (name: string) => boolean): void {
    for (let i = this.length - 1; i >= 0; i--) if (test(this.names[i] ?? "")) this.#removeAt(i);
  }

  indexOf(name: string): number {
    const names = this.names;
    for (let i = 0; i < this.length; i++) if (names[i] === name) return i;
    return -1;
  }

  nameAt(index: number): string {
    return this.names[index] ?? "";
  }

  valueAt(index: number): string {
    const value = this.values[index];
    if (value !== undefined) return value;
    const made = this.#decode(index);
    this.values[index] = made;
    return made;
  }

  /** Calls for each field in order. Not for the hot path. */
  forEach(visit: (name: string, value: string) => void): void {
    for (let i = 0; i < this.length; i++) visit(this.nameAt(i), this.valueAt(i));
  }

  /**
   * Makes the block independent of the receive buffer: call before pausing, retrying, mirroring or keeping it. Copies the bytes,
   * which stay as they were coded, and makes no strings.
   */
  detach(): void {
    const bytes = this.bytes;
    if (bytes === undefined || this.#ownsBytes) return;
    const { starts, ends, flags, length } = this;
    let from = bytes.length;
    let to = 0;
    for (let i = 0; i < length; i++) {
      const start = starts[i] ?? 0;
      const end = ends[i] ?? 0;
      if (start === 0) continue;
      if (start < from) from = start;
      if (end > to) to = end;
    }
    this.#ownsBytes = true;
    if (from >= to) return;
    // One copy of all that lies between the first value and the last costs less than one for each value (names lie between
    // them, so it is about the head's size). A value never starts at 0: that place says "no bytes".
    const own = Buffer.allocUnsafe(to - from + 1);
    bytes.copy(own, 1, from, to);
    const shift = from - 1;
    for (let i = 0; i < length; i++) {
      const start = starts[i] ?? 0;
      if (start === 0) continue;
      starts[i] = start - shift;
      ends[i] = (ends[i] ?? 0) - shift;
      // What a codec noted beside these speaks of the bytes around the value.
      flags[i] = (flags[i] ?? 0) & (FIELD_HUFFMAN | FIELD_NEVER_INDEXED);
    }
    this.bytes = own;
  }

  /** A detached copy. It makes no strings: this block is detached too, and both share the bytes, which never change again. */
  clone(): HeaderBlock {
    this.detach();
    const copy = new HeaderBlock();
    copy.bytes = this.bytes;
    copy.#ownsBytes = true;
    copy.huffman = this.huffman;
    for (let i = 0; i < this.length; i++)
      copy.#push(
        this.names[i] ?? "",
        this.values[i],
        this.starts[i] ?? 0,
        this.ends[i] ?? 0,
        this.flags[i] ?? 0,
        this.entries[i],
        this.rawNames[i],
      );
    return copy;
  }

  /** Empties it for another use. */
  clear(): void {
    this.#truncate(0);
    this.bytes = undefined;
    this.#ownsBytes = false;
  }

  #decode(index: number): string {
    const bytes = this.bytes;
    if (bytes === undefined)
      throw new Error(`Cannot read header "${this.names[index]}": its bytes are gone; detach() the block first`);
    const start = this.starts[index] ?? 0;
    const end = this.ends[index] ?? 0;
    if (((this.flags[index] ?? 0) & FIELD_HUFFMAN) === 0) return bytes.toString("latin1", start, end);
    if (this.huffman === undefined) throw new Error("Cannot read a Huffman-coded header: the block has no decoder");
    return this.huffman(bytes, start, end);
  }

  #push(
    name: string,
    value: string | undefined,
    start: number,
    end: number,
    flags: number,
    entry: object | undefined,
    rawName: string | undefined,
  ): void {
    const i = this.length++;
    this.names[i] = name;
    this.values[i] = value;
    this.starts[i] = start;
    this.ends[i] = end;
    this.flags[i] = flags;
    this.entries[i] = entry;
    // Left empty by HTTP/2, which has none.
    if (rawName !== undefined) this.rawNames[i] = rawName;
    else if (i < this.rawNames.length) this.rawNames[i] = undefined;
  }

  #removeAt(index: number): void {
    const last = --this.length;
    for (let i = index; i < last; i++) {
      this.names[i] = this.names[i + 1] ?? "";
      this.values[i] = this.values[i + 1];
      this.starts[i] = this.starts[i + 1] ?? 0;
      this.ends[i] = this.ends[i + 1] ?? 0;
      this.flags[i] = this.flags[i + 1] ?? 0;
      this.entries[i] = this.entries[i + 1];
    }
    if (index < this.rawNames.length) this.rawNames.splice(index, 1);
  }

  #truncate(length: number): void {
    this.names.length = length;
    this.values.length = length;
    this.starts.length = length;
    this.ends.length = length;
    this.flags.length = length;
    this.entries.length = length;
    this.rawNames.length = length;
    this.length = length;
  }
}
