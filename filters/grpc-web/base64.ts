// Base64 as gRPC-Web's text form has it: a stream that is cut anywhere, in which each piece may end with padding of its own.

const PAD = 61;
const VALUES = new Int8Array(256).fill(-1);
for (const [value, char] of [
  ...Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"),
].entries())
  VALUES[char] = value;

/** What came is no base64. */
export class Base64Error extends Error {
  constructor(reason: string) {
    super(`the body is not base64: ${reason}`);
  }
}

export class Base64Decoder {
  #bits = 0;
  /** Characters of the group of four that is under way, padding among them. */
  #count = 0;
  #padding = 0;

  /** The bytes that these characters complete. Throws a `Base64Error`, at `last` also for a group that has no end. */
  decode(text: Buffer, start: number, end: number, last: boolean): Buffer {
    const bytes = Buffer.allocUnsafe(Math.ceil((end - start + this.#count) / 4) * 3);
    let length = 0;
    for (let i = start; i < end; i++) {
      const char = text[i] ?? 0;
      const value = VALUES[char] ?? -1;
      if (char === PAD && this.#count >= 2) this.#padding++;
      else if (value < 0 || this.#padding > 0) throw new Base64Error(`character ${char} has no place there`);
      this.#bits = (this.#bits << 6) | (value < 0 ? 0 : value);
      if (++this.#count < 4) continue;
      for (let shift = 16; shift >= this.#padding * 8; shift -= 8) bytes[length++] = (this.#bits >> shift) & 255;
      this.#bits = 0;
      this.#count = 0;
      this.#padding = 0;
    }
    if (last && this.#count > 0) throw new Base64Error("its length is not a multiple of four");
    return bytes.subarray(0, length);
  }
}

/** Encodes as bytes come; `flush` pads, so that what came so far can be read. */
export class Base64Encoder {
  #kept: Buffer = Buffer.alloc(0);

  encode(bytes: Buffer, start: number, end: number, flush: boolean): Buffer {
    const fresh = bytes.subarray(start, end);
    const all = this.#kept.length === 0 ? fresh : Buffer.concat([this.#kept, fresh]);
    const whole = flush ? all.length : all.length - (all.length % 3);
    this.#kept = Buffer.from(all.subarray(whole));
    return Buffer.from(all.toString("base64", 0, whole), "latin1");
  }
}
