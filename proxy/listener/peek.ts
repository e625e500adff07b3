// Looks at the first bytes of a connection until somebody has seen enough, then hands the wire on with them.
import type { Clock, Timer } from "#lib/clock.ts";
import type { Wire, WireHandler } from "#proxy/wire/wire.ts";

export interface PeekOptions {
  readonly clock: Clock;
  /** 0 = no limit. */
  readonly timeoutMs: number;
  /** From the first byte on; 0 = as before it. */
  readonly moreTimeoutMs?: number;
  readonly maxBytes: number;
  /** True: these bytes are enough. */
  readonly isEnough: (bytes: Buffer) => boolean;
  /** Once: enough, the limit of bytes or of time, or FIN. */
  readonly onDone: (bytes: Buffer, reason: "enough" | "timeout" | "end") => void;
  /** The peer went away before that. */
  readonly onGone: () => void;
}

const NOTHING = Buffer.alloc(0);

export class Peek implements WireHandler {
  readonly #wire: Wire;
  readonly #options: PeekOptions;
  /** Grows by doubling: bytes that come one at a time must not be copied as often. */
  #buffer: Buffer = NOTHING;
  #length = 0;
  #isDone = false;
  #timer: Timer | undefined;

  constructor(wire: Wire, options: PeekOptions) {
    this.#wire = wire;
    this.#options = options;
  }

  start(): void {
    const { clock, timeoutMs } = this.#options;
    if (timeoutMs > 0) this.#timer = clock.setTimer(timeoutMs, () => this.#finish("timeout"));
    this.#wire.attach(this);
  }

  /** What has come so far. */
  get byteCount(): number {
    return this.#length;
  }

  /** Ends the looking without `onDone`: somebody else takes the wire, with these bytes. */
  take(): Buffer {
    this.#end();
    return this.#bytes();
  }

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#isDone) return;
    const { clock, moreTimeoutMs = 0 } = this.#options;
    if (this.#length === 0 && moreTimeoutMs > 0) {
      this.#timer?.cancel();
      this.#timer = clock.setTimer(moreTimeoutMs, () => this.#finish("timeout"));
    }
    const length = this.#length + end - start;
    if (length > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(this.#length === 0 ? length : 2 * length);
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    bytes.copy(this.#buffer, this.#length, start, end);
    this.#length = length;
    if (length >= this.#options.maxBytes || this.#options.isEnough(this.#bytes())) this.#finish("enough");
  }

  onEnd(): void {
    this.#finish("end");
  }

  onDrain(): void {
    // Nothing was written.
  }

  onClose(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#timer?.cancel();
    this.#options.onGone();
  }

  #finish(reason: "enough" | "timeout" | "end"): void {
    if (this.#isDone) return;
    this.#end();
    this.#options.onDone(this.#bytes(), reason);
  }

  #bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #end(): void {
    this.#isDone = true;
    this.#timer?.cancel();
    this.#wire.setReading(false);
  }
}
