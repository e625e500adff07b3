// Text that is gathered as UTF-8 bytes: a log line of a dozen parts costs no string, and nothing to collect.

const FIRST_BYTES = 8192;

export class TextBuffer {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** What was written, until the next `clear`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Bytes that it holds without growing. */
  get capacity(): number {
    return this.#bytes.length;
  }

  clear(): void {
    this.#length = 0;
  }

  write(text: string): void {
    const { length } = text;
    this.#reserve(length);
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7e) {
        this.#writeUnicode(text);
        return;
      }
      bytes[start + i] = code;
    }
    this.#length = start + length;
  }

  /** Writes the text as a JSON string, quotes included. */
  writeJson(text: string): void {
    const { length } = text;
    this.#reserve(length + 2);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = QUOTE;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (STANDS_ALONE[code] !== 1) {
        this.#writeUnicode(JSON.stringify(text));
        return;
      }
      bytes[at++] = code;
    }
    bytes[at++] = QUOTE;
    this.#length = at;
  }

  #writeUnicode(text: string): void {
    this.#reserve(text.length * 3);
    this.#length += this.#bytes.write(text, this.#length, "utf8");
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** By character code: 1 = JSON has it in a string as it is. */
const STANDS_ALONE = Uint8Array.from({ length: 256 }, (_, code) =>
  code < 0x20 || code > 0x7e || code === QUOTE || code === BACKSLASH ? 0 : 1,
);
