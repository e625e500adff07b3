// Keeps what a codec told about streams, for tests.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, ServerHandler, StreamHandler } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";

/** Everything as text, in order, copied out at once. */
export class RecordingStream implements StreamHandler {
  stream: HttpStream | undefined = undefined;
  head: HeaderBlock | undefined = undefined;
  body = "";
  isEnded = false;
  trailers: readonly (readonly [string, string])[] | undefined = undefined;
  error: StreamError | undefined = undefined;
  drains = 0;
  readonly events: string[] = [];
  readonly informational: string[] = [];
  isConsuming = true;
  /** Called when the message is complete. */
  onEnd: ((recorded: RecordingStream) => void) | undefined = undefined;

  get fields(): readonly (readonly [string, string])[] {
    const pairs: [string, string][] = [];
    this.head?.forEach((name, value) => pairs.push([name, value]));
    return pairs;
  }

  onHead(head: HeaderBlock, end: boolean): void {
    head.detach();
    this.head = head;
    this.events.push(end ? "head end" : "head");
    if (end) this.#end();
  }

  onInformational(head: HeaderBlock): void {
    head.detach();
    this.informational.push(head.get(":status") ?? "");
    this.events.push("informational");
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.body += bytes.toString("latin1", start, end);
    if (this.isConsuming) this.stream?.consumed(end - start);
    if (last) this.#end();
  }

  onTrailers(trailers: HeaderBlock): void {
    const pairs: [string, string][] = [];
    trailers.forEach((name, value) => pairs.push([name, value]));
    this.trailers = pairs;
    this.#end();
  }

  onReset(error: StreamError): void {
    this.error = error;
    this.events.push("reset");
  }

  onDrain(): void {
    this.drains++;
  }

  #end(): void {
    this.isEnded = true;
    this.events.push("end");
    this.onEnd?.(this);
  }
}

/** Keeps all streams of a server; `answer` is called when a request is complete. */
export class RecordingServer implements ServerHandler {
  readonly streams: RecordingStream[] = [];
  answer: ((recorded: RecordingStream, stream: HttpStream) => void) | undefined;

  constructor(answer?: (recorded: RecordingStream, stream: HttpStream) => void) {
    this.answer = answer;
  }

  onStream(stream: HttpStream): StreamHandler {
    const recorded = new RecordingStream();
    recorded.stream = stream;
    recorded.onEnd = (ended) => this.answer?.(ended, stream);
    this.streams.push(recorded);
    return recorded;
  }
}
