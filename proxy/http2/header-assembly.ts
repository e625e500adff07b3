// Joins a header block that came as HEADERS and CONTINUATIONs (RFC 9113 §6.10), within limits (CVE-2024-27316).

const MAX_CONTINUATIONS = 128;

export class HeaderAssembly {
  /** Whose block is being joined; 0 = none. */
  streamId = 0;
  isEnd = false;
  dependsOnSelf = false;
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;

  /** Coded bytes may be more than the list that they make only by bad coding; twice is ample for a list that is refused. */
  constructor(maxListBytes: number) {
    this.#maxBytes = maxListBytes * 2 + 16384;
  }

  begin(id: number, isEnd: boolean, dependsOnSelf: boolean, bytes: Buffer, start: number, end: number): void {
    this.streamId = id;
    this.isEnd = isEnd;
    this.dependsOnSelf = dependsOnSelf;
    this.append(bytes, start, end);
  }

  /** False: too much, or too many pieces. */
  append(bytes: Buffer, start: number, end: number): boolean {
    this.#pieces.push(Buffer.from(bytes.subarray(start, end)));
    this.#bytes += end - start;
    return this.#bytes <= this.#maxBytes && this.#pieces.length <= MAX_CONTINUATIONS;
  }

  /** The whole block, in memory of its own. */
  take(): Buffer {
    const block = Buffer.concat(this.#pieces, this.#bytes);
    this.#pieces = [];
    this.#bytes = 0;
    this.streamId = 0;
    return block;
  }
}
