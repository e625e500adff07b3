// The sending half of a connection: header blocks at once, DATA as windows and the socket allow, streams taking turns.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { Outbox } from "#lib/http/stream.ts";
import type { FloodGuard } from "./flood-guard.ts";
import {
  DEFAULT_WINDOW_BYTES,
  FLAG,
  FRAME,
  FRAME_HEADER_BYTES,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  writeFrameHeader,
} from "./frame.ts";
import { writeLongHeaders } from "./frame-writer.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { type Http2Stream, SendRound } from "./stream.ts";

/** With so much waiting for the socket no more DATA is made; it goes on in `onSocketDrain`. */
const MAX_PENDING_BYTES = 512 * 1024;

export interface SenderOwner {
  /** END_STREAM was written. */
  onLocalEnd(stream: Http2Stream): void;
  onFlood(reason: string): void;
  /** A complete message waits for the peer's window or the socket. */
  onFlushWait(): void;
}

export class Sender {
  readonly encoder: HpackEncoder;
  readonly #out: Outbox;
  readonly #owner: SenderOwner;
  readonly #guard: FloodGuard;
  readonly #streamBufferBytes: number;
  readonly #round = new SendRound();
  #window = DEFAULT_WINDOW_BYTES;
  #isPumping = false;

  constructor(out: Outbox, owner: SenderOwner, guard: FloodGuard, hpackTableBytes: number, streamBufferBytes: number) {
    this.#out = out;
    this.#owner = owner;
    this.#guard = guard;
    this.encoder = new HpackEncoder(hpackTableBytes);
    this.#streamBufferBytes = streamBufferBytes;
  }

  /** Writes a header block; END_STREAM is told to the owner. */
  writeHeaders(stream: Http2Stream, block: HeaderBlock, isEnd: boolean, dropsHost: boolean): void {
    this.writeBlock(stream.id, block, isEnd, dropsHost);
    if (isEnd) this.#ended(stream);
  }

  writeBlock(streamId: number, block: HeaderBlock, isEnd: boolean, dropsHost: boolean): void {
    const out = this.#out;
    const bound = this.encoder.bound(block);
    if (bound <= MAX_FRAME_BYTES) {
      out.reserve(FRAME_HEADER_BYTES + bound);
      const at = out.position;
      const end = this.encoder.encode(block, out.buffer, at + FRAME_HEADER_BYTES, dropsHost);
      const flags = FLAG.END_HEADERS | (isEnd ? FLAG.END_STREAM : 0);
      writeFrameHeader(out.buffer, at, end - at - FRAME_HEADER_BYTES, FRAME.HEADERS, flags, streamId);
      out.position = end;
    } else {
      const scratch = Buffer.allocUnsafe(bound);
      const end = this.encoder.encode(block, scratch, 0, dropsHost);
      writeLongHeaders(out, streamId, scratch.subarray(0, end), MAX_FRAME_BYTES, isEnd);
    }
    const flood = this.#guard.countFrame();
    if (flood !== "") this.#owner.onFlood(flood);
  }

  /** False: the stream has more waiting than its buffer should hold; `onDrain` will come. */
  sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (stream.isLocalClosed || stream.endsAfterBuffer) return true;
    let at = start;
    if (stream.bufferedBytes === 0 && !stream.isHeld && (this.#round.isEmpty || at === end)) {
      at = this.#writeNow(stream, bytes, at, end, last);
      if (at === end) return true;
    }
    stream.buffer(bytes, at, end);
    if (last) {
      stream.endsAfterBuffer = true;
      this.#owner.onFlushWait();
    }
    if (stream.sendWindow > 0 && !stream.isHeld && stream.bufferedBytes > 0) this.#round.push(stream);
    if (stream.bufferedBytes <= this.#streamBufferBytes) return true;
    stream.isWaiting = true;
    return false;
  }

  /** What the head had to wait for has come. */
  release(stream: Http2Stream): void {
    stream.isHeld = false;
    if (stream.bufferedBytes > 0) {
      this.#round.push(stream);
      this.pump();
    } else this.#finish(stream);
  }

  /** Trailers go out behind what is buffered. */
  sendTrailers(stream: Http2Stream, trailers: HeaderBlock): void {
    if (stream.isLocalClosed || stream.endsAfterBuffer) return;
    if (stream.bufferedBytes === 0 && !stream.isHeld) {
      this.writeHeaders(stream, trailers, true, false);
      return;
    }
    trailers.detach();
    stream.trailers = trailers;
    stream.endsAfterBuffer = true;
    this.#owner.onFlushWait();
  }

  /** False: the connection's window would exceed its maximum. */
  widen(bytes: number): boolean {
    if (this.#window + bytes > MAX_WINDOW_BYTES) return false;
    this.#window += bytes;
    if (!this.#round.isEmpty) this.pump();
    return true;
  }

  /** False: the stream's window would exceed its maximum. May be called with less than 0, by SETTINGS. */
  widenStream(stream: Http2Stream, bytes: number): boolean {
    if (stream.sendWindow + bytes > MAX_WINDOW_BYTES) return false;
    stream.sendWindow += bytes;
    if (stream.bufferedBytes > 0 && stream.sendWindow > 0 && !stream.isHeld) this.#round.push(stream);
    return true;
  }

  /** Sends what may be sent: a frame of each stream in turn. */
  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    while (!this.#round.isEmpty && this.#window > 0 && this.#out.pendingBytes <= MAX_PENDING_BYTES) {
      const stream = this.#round.shift();
      if (stream === undefined) break;
      if (stream.isOver || stream.bufferedBytes === 0 || stream.sendWindow <= 0) continue;
      this.#sendBuffered(stream);
    }
    this.#isPumping = false;
  }

  #sendBuffered(stream: Http2Stream): void {
    const length = Math.min(stream.bufferedBytes, stream.sendWindow, this.#window, MAX_FRAME_BYTES);
    const isEnd = stream.endsAfterBuffer && stream.trailers === undefined && length === stream.bufferedBytes;
    const out = this.#out;
    out.reserve(FRAME_HEADER_BYTES + length);
    const at = out.position;
    writeFrameHeader(out.buffer, at, length, FRAME.DATA, isEnd ? FLAG.END_STREAM : 0, stream.id);
    stream.unbuffer(out.buffer, at + FRAME_HEADER_BYTES, length);
    out.position = at + FRAME_HEADER_BYTES + length;
    this.#window -= length;
    stream.sendWindow -= length;
    // A frame that the peer's window cut short explains nothing of what the peer sends.
    this.#guard.countDataSent(isEnd || stream.sendWindow > 0);
    if (isEnd) this.#ended(stream);
    else if (stream.bufferedBytes === 0) this.#finish(stream);
    else if (stream.sendWindow > 0) this.#round.push(stream);
    if (!stream.isWaiting || stream.isOver || stream.bufferedBytes * 2 > this.#streamBufferBytes) return;
    stream.isWaiting = false;
    stream.handler?.onDrain();
  }

  /** The buffer is empty: what was to follow it. */
  #finish(stream: Http2Stream): void {
    if (!stream.endsAfterBuffer) return;
    const trailers = stream.trailers;
    stream.trailers = undefined;
    if (trailers === undefined) this.#writeFrame(stream, EMPTY, 0, 0, true);
    else this.writeHeaders(stream, trailers, true, false);
  }

  /** Writes as much as may be written now; gives where it stopped. */
  #writeNow(stream: Http2Stream, bytes: Buffer, start: number, end: number, last: boolean): number {
    if (start === end) {
      if (last) this.#writeFrame(stream, bytes, start, end, true);
      return end;
    }
    let at = start;
    while (at < end) {
      const length = Math.min(end - at, MAX_FRAME_BYTES, stream.sendWindow, this.#window);
      if (length <= 0 || this.#out.pendingBytes > MAX_PENDING_BYTES) return at;
      this.#writeFrame(stream, bytes, at, at + length, last && at + length === end);
      at += length;
    }
    return at;
  }

  #writeFrame(stream: Http2Stream, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    const length = end - start;
    const out = this.#out;
    out.reserve(FRAME_HEADER_BYTES + length);
    const at = out.position;
    writeFrameHeader(out.buffer, at, length, FRAME.DATA, isEnd ? FLAG.END_STREAM : 0, stream.id);
    if (length > 0) bytes.copy(out.buffer, at + FRAME_HEADER_BYTES, start, end);
    out.position = at + FRAME_HEADER_BYTES + length;
    this.#window -= length;
    stream.sendWindow -= length;
    // A frame that the peer's window cut short explains nothing of what the peer sends.
    this.#guard.countDataSent(isEnd || stream.sendWindow > 0);
    if (isEnd) this.#ended(stream);
  }

  #ended(stream: Http2Stream): void {
    stream.isLocalClosed = true;
    this.#owner.onLocalEnd(stream);
  }
}

const EMPTY = Buffer.alloc(0);
