// A codec's connection in memory: collects what the codec writes.
import type { CodecHost, Outbox } from "../http/stream.ts";
import type { StreamError } from "../http/stream-error.ts";

class MemoryOutbox implements Outbox {
  buffer = Buffer.alloc(65536 + 16384);
  position = 0;
  pendingBytes = 0;
  bytesFlushed = 0;
  readonly chunks: Buffer[] = [];

  reserve(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    this.flush();
  }

  discard(): void {
    this.position = 0;
  }

  flush(): void {
    if (this.position === 0) return;
    this.chunks.push(Buffer.from(this.buffer.subarray(0, this.position)));
    this.bytesFlushed += this.position;
    this.position = 0;
  }
}

/** `take` gives what was written since the last call. */
export class MemoryHost implements CodecHost {
  readonly out = new MemoryOutbox();
  isClosed = false;
  closeError: StreamError | undefined;
  isReading = true;

  close(error: StreamError | undefined): void {
    this.isClosed = true;
    this.closeError = error;
  }

  setReading(isReading: boolean): void {
    this.isReading = isReading;
  }

  take(): Buffer {
    this.out.flush();
    return Buffer.concat(this.out.chunks.splice(0));
  }
}
