// Walks the fields of one protobuf message in its bytes, without knowing its type and without copying.

export class WireCursor {
  readonly bytes: Buffer;
  #at: number;
  readonly #end: number;
  /** The field's number. */
  number = 0;
  wireType = 0;
  /** A varint's low 32 bits, signed. */
  value = 0;
  /** What is in a length-delimited field. */
  start = 0;
  end = 0;
  /** Where the field's data begin, with the length that stands before it. */
  dataStart = 0;

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.#at = start;
    this.#end = end;
  }

  /** Goes to the next field; false after the last. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.number = tag >>> 3;
    this.wireType = tag & 7;
    this.dataStart = this.#at;
    switch (this.wireType) {
      case 0:
        this.value = this.#varint();
        break;
      case 1:
        this.#at += 8;
        break;
      case 2: {
        const length = this.#varint();
        this.start = this.#at;
        this.#at = this.end = this.start + length;
        break;
      }
      case 5:
        this.#at += 4;
        break;
      default:
        throw new Error(`A descriptor has wire type ${this.wireType} at byte ${this.dataStart}`);
    }
    return true;
  }

  text(): string {
    return this.bytes.toString("utf8", this.start, this.end);
  }

  /** The field's data as protobuf-es keeps those of fields that it does not know. */
  data(): Uint8Array {
    return this.bytes.subarray(this.dataStart, this.#at);
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.#at++] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
}
