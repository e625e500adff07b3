// Reads values of protobuf's wire format as almost everybody writes them, and declines the rest, for which there is the whole decoder.

import type { ForwardAction, RetryPolicy, RouteMatch } from "../../model/route.ts";
import { HASH_SEED, hashStep, Memo } from "./memo.ts";

/** Thrown instead of an answer: the bytes may be good, but they are not plain. One object, since it may be thrown thousands of times. */
export const NOT_PLAIN = new Error("The bytes are not plain: the generated decoder has to read them");

/** No list that anybody may add to. */
export const NONE: readonly never[] = [];

/** Numbers are small ones (31 bits), text is printable ASCII, and what is not set stays out: else `NOT_PLAIN`. */
export class PlainReader {
  readonly bytes: Buffer;
  /** The next byte. */
  at = 0;
  readonly matches: Memo<RouteMatch>;
  readonly actions: Memo<ForwardAction>;
  readonly retries: Memo<RetryPolicy>;
  readonly #texts: Memo<string>;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.matches = new Memo(bytes);
    this.actions = new Memo(bytes);
    this.retries = new Memo(bytes);
    this.#texts = new Memo(bytes);
  }

  /** A message that was perhaps read before; `read` gets the end of what is around it, as `stop` does. */
  message<T>(memo: Memo<T>, end: number, read: (reader: PlainReader, end: number) => T): T {
    const { bytes, at } = this;
    const stop = this.stop(end);
    const start = this.at;
    let hash = HASH_SEED;
    for (let i = start; i < stop; i++) hash = hashStep(hash, bytes[i] ?? 0);
    const known = memo.find(hash, start, stop);
    this.at = known === undefined ? at : stop;
    return known ?? memo.put(hash, start, stop, read(this, end));
  }

  /** A field's number and wire type, a length, a bool, an enum or a small number. */
  varint(): number {
    const { bytes } = this;
    const first = bytes[this.at++] ?? 0x80;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let shift = 7; shift < 28; shift += 7) {
      const byte = bytes[this.at++] ?? 0x80;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = bytes[this.at++] ?? 0x80;
    if (last > 0x07) throw NOT_PLAIN;
    return value | (last << 28);
  }

  bool(): boolean {
    const value = this.varint();
    if (value > 1) throw NOT_PLAIN;
    return value === 1;
  }

  double(end: number): number {
    if (this.at + 8 > end) throw NOT_PLAIN;
    const value = this.bytes.readDoubleLE(this.at);
    this.at += 8;
    if (!Number.isFinite(value)) throw NOT_PLAIN;
    return value;
  }

  /** Where a length-delimited field ends that must not go beyond `end`. */
  stop(end: number): number {
    const stop = this.varint() + this.at;
    if (stop > end) throw NOT_PLAIN;
    return stop;
  }

  /** A message without anything in it. */
  empty(end: number): void {
    if (this.stop(end) !== this.at) throw NOT_PLAIN;
  }

  text(end: number): string {
    const { bytes } = this;
    const stop = this.stop(end);
    const start = this.at;
    let hash = HASH_SEED;
    for (let i = start; i < stop; i++) {
      const byte = bytes[i] ?? 0;
      if (byte < 0x20 || byte > 0x7e) throw NOT_PLAIN;
      hash = hashStep(hash, byte);
    }
    this.at = stop;
    return (
      this.#texts.find(hash, start, stop) ?? this.#texts.put(hash, start, stop, bytes.toString("latin1", start, stop))
    );
  }

  someText(end: number): string {
    const text = this.text(end);
    if (text === "") throw NOT_PLAIN;
    return text;
  }

  /** google.protobuf.BoolValue. */
  boolValue(end: number): boolean {
    return this.#wrapped(this.stop(end)) === 1;
  }

  /** google.protobuf.UInt32Value. */
  numberValue(end: number): number {
    return this.#wrapped(this.stop(end), 0x7fff_ffff);
  }

  /** google.protobuf.Duration in ms, as `toMs` of duration.ts gives it. */
  durationMs(end: number): number {
    const stop = this.stop(end);
    let seconds = 0;
    let nanos = 0;
    let seen = 0;
    while (this.at < stop) {
      const tag = this.varint();
      seen = once(seen, tag);
      if (tag === 0x08) seconds = this.varint();
      else if (tag === 0x10) nanos = this.varint();
      else throw NOT_PLAIN;
    }
    this.close(stop);
    return seconds * 1000 + nanos / 1e6;
  }

  /** After the last field of a message, which must have ended where it said. */
  close(stop: number): void {
    if (this.at !== stop) throw NOT_PLAIN;
  }

  #wrapped(stop: number, most = 1): number {
    let value = 0;
    if (this.at < stop) {
      if (this.varint() !== 0x08) throw NOT_PLAIN;
      value = this.varint();
    }
    this.close(stop);
    if (value > most) throw NOT_PLAIN;
    return value;
  }
}

/** Remembers that a field came, and declines a second one, which would have to be merged into the first. `tag`: number up to 31. */
export function once(seen: number, tag: number): number {
  return onceBit(seen, 1 << (tag >>> 3));
}

/** The same by a bit, for members of a oneof and for numbers above 31. */
export function onceBit(seen: number, bit: number): number {
  if ((seen & bit) !== 0) throw NOT_PLAIN;
  return seen | bit;
}
