// The order of mesh versions, which are hashes and have none of their own.

const MAX_VERSIONS = 2048;

export class Versions {
  readonly #sequences = new Map<string, number>();
  #last = 0;
  #newest: string | undefined;

  get newest(): string | undefined {
    return this.#newest;
  }

  /** The number of a version; a version that comes back (an edit undone) is newer than what was between. */
  see(version: string): number {
    const known = this.#sequences.get(version);
    if (known !== undefined && version === this.#newest) return known;
    const sequence = ++this.#last;
    this.#newest = version;
    this.#sequences.delete(version);
    this.#sequences.set(version, sequence);
    if (this.#sequences.size > MAX_VERSIONS) {
      const [oldest] = this.#sequences.keys();
      if (oldest !== undefined) this.#sequences.delete(oldest);
    }
    return sequence;
  }

  sequenceOf(version: string): number | undefined {
    return this.#sequences.get(version);
  }
}
