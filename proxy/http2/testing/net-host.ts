// A codec on a plain socket, for conformance and interop tests: the least that a wire must do.
import type { Socket } from "node:net";
import type { Codec, CodecHost, Outbox } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";

class SocketOutbox implements Outbox {
  buffer = Buffer.allocUnsafeSlow(65536);
  position = 0;
  bytesFlushed = 0;
  readonly #socket: Socket;
  #isScheduled = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get pendingBytes(): number {
    return this.position + this.#socket.writableLength;
  }

  reserve(bytes: number): void {
    if (this.position + bytes > this.buffer.length) this.flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  discard(): void {
    this.position = 0;
  }

  flush(): void {
    if (this.position === 0) return;
    const written = this.buffer.subarray(0, this.position);
    this.buffer = Buffer.allocUnsafeSlow(65536);
    this.bytesFlushed += this.position;
    this.position = 0;
    if (this.#socket.writable) this.#socket.write(written);
  }
}

/** Joins a socket and the codec that `make` gives for it. */
export function serveSocket<C extends Codec>(socket: Socket, make: (host: CodecHost) => C): C {
  const out = new SocketOutbox(socket);
  const host: CodecHost = {
    out,
    close(_error: StreamError | undefined) {
      out.flush();
      socket.end();
    },
    setReading(isReading) {
      if (isReading) socket.resume();
      else socket.pause();
    },
  };
  const codec = make(host);
  socket.setNoDelay(true);
  socket.on("data", (bytes: Buffer) => codec.receive(bytes, 0, bytes.length));
  socket.on("end", () => codec.receiveEnd());
  socket.on("drain", () => codec.onSocketDrain());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => codec.connectionLost(makeStreamError("transport", "connection", H2_ERROR.CANCEL, "closed")));
  return codec;
}
