// The last good answers, bounded in number and bytes; the one that was not used for longest goes first.

export interface StoredAnswer {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly storedMs: number;
}

export class AnswerCache {
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  /** In the order of their last use. */
  readonly #answers = new Map<string, StoredAnswer>();
  #bytes = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** The longest body that is kept. */
  get maxBodyBytes(): number {
    return this.#maxBytes / 16;
  }

  get(key: string, nowMs: number, maxAgeMs: number): StoredAnswer | undefined {
    const answer = this.#answers.get(key);
    if (answer === undefined) return undefined;
    this.#remove(key, answer);
    if (nowMs - answer.storedMs > maxAgeMs) return undefined;
    this.#answers.set(key, answer);
    this.#bytes += sizeOf(key, answer);
    return answer;
  }

  put(key: string, answer: StoredAnswer): void {
    const before = this.#answers.get(key);
    if (before !== undefined) this.#remove(key, before);
    const size = sizeOf(key, answer);
    if (size > this.#maxBytes) return;
    this.#answers.set(key, answer);
    this.#bytes += size;
    for (const [oldest, one] of this.#answers) {
      if (this.#answers.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) return;
      this.#remove(oldest, one);
    }
  }

  #remove(key: string, answer: StoredAnswer): void {
    this.#answers.delete(key);
    this.#bytes -= sizeOf(key, answer);
  }
}

function sizeOf(key: string, { headers, body }: StoredAnswer): number {
  let size = key.length + body.length;
  for (const [name, value] of headers) size += name.length + value.length;
  return size;
}
