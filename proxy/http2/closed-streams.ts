// Remembers which streams closed lately and how: a late frame is harmless after our own reset, an error after the peer's end.

const REMEMBERED = 256;

export class ClosedStreams {
  /** Twice the stream's number, plus one when we reset it. */
  readonly #entries: number[] = [];
  #next = 0;

  add(id: number, isResetByUs: boolean): void {
    this.#entries[this.#next] = id * 2 + (isResetByUs ? 1 : 0);
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  has(id: number): boolean {
    return this.#entries.includes(id * 2) || this.#entries.includes(id * 2 + 1);
  }

  wasResetByUs(id: number): boolean {
    return this.#entries.includes(id * 2 + 1);
  }
}
