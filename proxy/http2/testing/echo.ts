// A server's application for tests: answers 200 and sends back what it was sent, or a short text.
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, ServerHandler, StreamHandler } from "#lib/http/stream.ts";

const HELLO = Buffer.from("hello from heddle\n");

class Echo implements StreamHandler {
  readonly #stream: HttpStream;
  #held = 0;

  constructor(stream: HttpStream) {
    this.#stream = stream;
  }

  onHead(head: HeaderBlock, end: boolean): void {
    const type = head.get("content-type") ?? "text/plain";
    const isHead = head.get(":method") === "HEAD";
    this.#stream.sendHead(HeaderBlock.of([":status", "200"], ["content-type", type]), isHead);
    if (end && !isHead) this.#stream.sendData(HELLO, 0, HELLO.length, true);
  }

  onInformational(): void {
    // A request has none.
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    if (this.#stream.sendData(bytes, start, end, last)) this.#stream.consumed(end - start);
    else this.#held += end - start;
  }

  onTrailers(trailers: HeaderBlock): void {
    this.#stream.sendTrailers(trailers);
  }

  onReset(): void {
    this.#held = 0;
  }

  onDrain(): void {
    this.#stream.consumed(this.#held);
    this.#held = 0;
  }
}

export const echo: ServerHandler = { onStream: (stream) => new Echo(stream) };
