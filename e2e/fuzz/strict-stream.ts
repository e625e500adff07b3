// A stream's handler that holds a codec to its contract (lib/http/stream.ts): one head, then data, one end, nothing behind it; and
// writes down what it is told.
import assert from "node:assert/strict";

import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";

export class StrictStream implements StreamHandler {
  stream: HttpStream | undefined = undefined;
  head: HeaderBlock | undefined = undefined;
  fields: [string, string][] = [];
  body = "";
  trailers: [string, string][] | undefined = undefined;
  interim = 0;
  error: StreamError | undefined = undefined;
  isEnded = false;
  /** Called behind each event. */
  onEvent: (() => void) | undefined = undefined;

  onHead(head: HeaderBlock, end: boolean): void {
    assert.ok(this.head === undefined && !this.isEnded && this.error === undefined, "a second head");
    this.fields = fieldsOf(head);
    head.detach();
    this.head = head;
    this.isEnded = end;
    this.onEvent?.();
  }

  onInformational(head: HeaderBlock): void {
    assert.ok(this.head === undefined && !this.isEnded && this.error === undefined, "an interim head behind the head");
    assert.match(head.get(":status") ?? "", /^1\d\d$/);
    this.interim++;
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    assert.ok(
      this.head !== undefined && !this.isEnded && this.error === undefined,
      "data before the head or behind the end",
    );
    assert.ok(start >= 0 && start <= end && end <= bytes.length, "data outside of its buffer");
    this.body += bytes.toString("latin1", start, end);
    this.isEnded = last;
    this.stream?.consumed(end - start);
    this.onEvent?.();
  }

  onTrailers(trailers: HeaderBlock): void {
    assert.ok(
      this.head !== undefined && !this.isEnded && this.error === undefined,
      "trailers before the head or behind the end",
    );
    this.trailers = fieldsOf(trailers);
    this.isEnded = true;
    this.onEvent?.();
  }

  onReset(error: StreamError): void {
    assert.ok(this.error === undefined, "two resets");
    this.error = error;
  }

  onDrain(): void {
    // Nothing waits here.
  }

  /** All that was told, as text. Of a reset only that it came: what is wrong with a message may show before it has ended. */
  get story(): string {
    const { fields, body, trailers, interim, isEnded, error } = this;
    return JSON.stringify([fields, error === undefined ? body : "", trailers, interim, isEnded, error !== undefined]);
  }
}

function fieldsOf(block: HeaderBlock): [string, string][] {
  const fields: [string, string][] = [];
  block.forEach((name, value) => fields.push([name, value]));
  return fields;
}
