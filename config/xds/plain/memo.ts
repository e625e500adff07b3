// What was read before, by its bytes: the texts, matches and actions of one table's routes are much alike.

/** Places of the largest; a small table has few, since there may be hundreds of tables in each thread. */
const MAX_PLACES = 1024;
const BYTES_PER_PLACE = 32;

/** One value for each place of a hash; a newer one takes the place of an older. All bytes are of one buffer. */
export class Memo<T> {
  readonly #bytes: Buffer;
  readonly #mask: number;
  readonly #starts: Int32Array;
  readonly #lengths: Int32Array;
  readonly #values: (T | undefined)[] = [];

  constructor(bytes: Buffer) {
    const places = 2 ** Math.ceil(Math.log2(Math.max(8, Math.min(MAX_PLACES, bytes.length / BYTES_PER_PLACE))));
    this.#bytes = bytes;
    this.#mask = places - 1;
    this.#starts = new Int32Array(places);
    this.#lengths = new Int32Array(places).fill(-1);
  }

  find(hash: number, start: number, stop: number): T | undefined {
    const place = (hash ^ (hash >>> 16)) & this.#mask;
    const length = stop - start;
    if (this.#lengths[place] !== length) return undefined;
    const bytes = this.#bytes;
    const known = this.#starts[place] ?? 0;
    for (let i = 0; i < length; i++) if (bytes[known + i] !== bytes[start + i]) return undefined;
    return this.#values[place];
  }

  put(hash: number, start: number, stop: number, value: T): T {
    const place = (hash ^ (hash >>> 16)) & this.#mask;
    this.#starts[place] = start;
    this.#lengths[place] = stop - start;
    this.#values[place] = value;
    return value;
  }
}

/** FNV-1a, 32 bits: begin with the seed, take every byte. */
export const HASH_SEED = 0x811c9dc5 | 0;

export function hashStep(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}
