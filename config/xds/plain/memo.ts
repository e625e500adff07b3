// What was read before, by its bytes: the texts, matches and actions of one table's routes are much alike.

const SIZE = 1024;

/** One value for each place of a hash; a newer one takes the place of an older. All bytes are of one buffer. */
export class Memo<T> {
  readonly #bytes: Buffer;
  readonly #starts = new Int32Array(SIZE);
  readonly #lengths = new Int32Array(SIZE).fill(-1);
  readonly #values: (T | undefined)[] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  find(hash: number, start: number, stop: number): T | undefined {
    const place = placeOf(hash);
    const length = stop - start;
    if (this.#lengths[place] !== length) return undefined;
    const bytes = this.#bytes;
    const known = this.#starts[place] ?? 0;
    for (let i = 0; i < length; i++) if (bytes[known + i] !== bytes[start + i]) return undefined;
    return this.#values[place];
  }

  put(hash: number, start: number, stop: number, value: T): T {
    const place = placeOf(hash);
    this.#starts[place] = start;
    this.#lengths[place] = stop - start;
    this.#values[place] = value;
    return value;
  }
}

function placeOf(hash: number): number {
  return (hash ^ (hash >>> 16)) & (SIZE - 1);
}

/** FNV-1a, 32 bits: begin with the seed, take every byte. */
export const HASH_SEED = 0x811c9dc5 | 0;

export function hashStep(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x01000193);
}
