// What both sides of an HTTP/1 connection are made of: the message that runs, its body, its tunnel, and the end.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { Outbox } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";
import { BodyReader, type BodySink } from "./body-reader.ts";
import type { Carry } from "./carry.ts";
import type { HeadLimits } from "./field-scan.ts";
import { type Http1Host, READ_HIGH_WATER } from "./host.ts";
import type { Violation } from "./violation.ts";

/** The last of each side's phases: nothing is read any more. */
export const CLOSED = 5;

export interface ConnectionOptions extends HeadLimits {
  readonly bufferLimitBytes: number;
  readonly enableTrailers: boolean;
}

/** What the connection knows of the exchange that runs. */
export interface RunningStream {
  isOver: boolean;
  /** Bytes given to the handler and not yet passed on. */
  unconsumed: number;
  readonly handler: { onData(bytes: Buffer, start: number, end: number, last: boolean): void } | undefined;
}

export abstract class Http1Connection<S extends RunningStream, O extends ConnectionOptions> implements BodySink {
  readonly protocol = "http1";
  isDraining = false;
  protected readonly host: Http1Host;
  protected readonly options: O;
  protected readonly body: BodyReader;
  protected phase: number;
  protected current: S | undefined = undefined;
  /** A head that reads have cut. */
  protected carry: Carry | undefined = undefined;
  protected hasPeerEnded = false;
  #isReading = true;

  constructor(host: Http1Host, options: O, phase: number) {
    this.host = host;
    this.options = options;
    this.phase = phase;
    this.body = new BodyReader(this, options);
  }

  abstract onBodyData(bytes: Buffer, start: number, end: number, last: boolean): void;
  abstract onBodyTrailers(trailers: HeaderBlock): void;
  abstract onBodyViolation(violation: Violation): void;

  get activeStreams(): number {
    return this.current === undefined ? 0 : 1;
  }

  get out(): Outbox {
    return this.host.out;
  }

  get bufferLimitBytes(): number {
    return this.options.bufferLimitBytes;
  }

  get enableTrailers(): boolean {
    return this.options.enableTrailers;
  }

  protected readTunnel(bytes: Buffer, start: number, end: number): void {
    const stream = this.current;
    if (stream === undefined) return;
    stream.unconsumed += end - start;
    stream.handler?.onData(bytes, start, end, false);
    if (stream === this.current && stream.unconsumed > READ_HIGH_WATER) this.setReading(false);
  }

  /** Both ways are over. */
  protected finishTunnel(): void {
    if (this.current === undefined) return;
    this.current.isOver = true;
    this.current = undefined;
    this.close(undefined);
  }

  protected setReading(isReading: boolean): void {
    if (this.#isReading === isReading || this.phase === CLOSED) return;
    this.#isReading = isReading;
    this.host.setReading(isReading);
  }

  protected close(error: StreamError | undefined): void {
    if (this.phase === CLOSED) return;
    this.phase = CLOSED;
    this.shut(error);
  }

  protected shut(error: StreamError | undefined): void {
    this.carry = undefined;
    this.body.stop();
    this.host.close(error);
  }
}
