// Keeps what a wire told, for tests.
import type { WireError, WireHandler } from "../wire.ts";

export class RecordingHandler implements WireHandler {
  readonly ended: Promise<void>;
  readonly closed: Promise<WireError | undefined>;
  length = 0;
  readonly #chunks: Buffer[] = [];
  #resolveEnded: () => void = () => undefined;
  #resolveClosed: (error: WireError | undefined) => void = () => undefined;
  #onDrains: (() => void)[] = [];
  #waiting: { readonly length: number; readonly resolve: () => void } | undefined;

  constructor() {
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  nextDrain(): Promise<void> {
    return new Promise((resolve) => this.#onDrains.push(resolve));
  }

  /** Resolves when so many bytes have come in all. */
  received(length: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.length >= length) resolve();
      else this.#waiting = { length, resolve };
    });
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    this.#chunks.push(Buffer.from(bytes.subarray(start, end)));
    this.length += end - start;
    if (this.#waiting !== undefined && this.length >= this.#waiting.length) this.#waiting.resolve();
  }

  onEnd(): void {
    this.#resolveEnded();
  }

  onDrain(): void {
    for (const resolve of this.#onDrains.splice(0)) resolve();
  }

  onClose(error: WireError | undefined): void {
    this.#resolveClosed(error);
  }
}
