// An HTTP/2 connection's state on either side (RFC 9113): its streams, its windows, and how streams and it come to an end.
import type { Clock, Timer } from "#lib/clock.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { CodecHost } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { ClosedStreams } from "./closed-streams.ts";
import { FloodGuard, PREMATURE_MS } from "./flood-guard.ts";
import { writeGoaway, writeReset, writeWindowUpdate } from "./frame-writer.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { Sender, type SenderOwner } from "./sender.ts";
import { type Http2Settings, PeerSettings } from "./settings.ts";
import type { Http2Stream, StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

export abstract class Http2Connection implements SenderOwner, StreamOwner {
  readonly protocol = "http2";
  protected readonly host: CodecHost;
  protected readonly settings: Http2Settings;
  protected readonly clock: Clock;
  protected readonly peer = new PeerSettings();
  protected readonly guard: FloodGuard;
  protected readonly decoder: HpackDecoder;
  protected readonly sender: Sender;
  protected readonly streams = new StreamTable();
  protected readonly closed = new ClosedStreams();
  /** The time of the bytes being read. */
  protected nowMs = 0;
  protected isClosed = false;
  isDraining = false;
  /** What the peer may still send on the connection. */
  protected window: number;
  #credit = 0;
  #flushTimer: Timer | undefined = undefined;

  constructor(host: CodecHost, settings: Http2Settings, clock: Clock) {
    this.host = host;
    this.settings = settings;
    this.clock = clock;
    this.guard = new FloodGuard(settings);
    this.decoder = new HpackDecoder(settings.hpackTableSizeBytes, settings.maxHeadersBytes, settings.maxHeadersCount);
    this.sender = new Sender(host.out, this, this.guard, settings.hpackTableSizeBytes, settings.streamBufferBytes);
    this.window = Math.max(settings.initialConnectionWindowBytes, 65535);
  }

  /** Nothing is read or timed any more. */
  protected abstract onShut(): void;
  /** A stream has left `streams`. */
  protected abstract afterStream(stream: Http2Stream): void;
  /** What GOAWAY names. */
  protected abstract get lastPeerStreamId(): number;
  abstract sendInformational(stream: Http2Stream, head: HeaderBlock): void;
  abstract sendHead(stream: Http2Stream, head: HeaderBlock, end: boolean): void;

  get activeStreams(): number {
    return this.streams.size;
  }

  connectionLost(error: StreamError): void {
    if (this.isClosed) return;
    this.#shut();
    this.abandonStreams(error);
  }

  onSocketDrain(): void {
    this.guard.clearWaiting();
    this.sender.pump();
  }

  exceededLimit(head: HeaderBlock): number | undefined {
    const { maxHeaderListBytes } = this.peer;
    return maxHeaderListBytes < Infinity && this.sender.encoder.exceeds(head, maxHeaderListBytes)
      ? maxHeaderListBytes
      : undefined;
  }

  sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number, last: boolean): boolean {
    return stream.isOver ? true : this.sender.sendData(stream, bytes, start, end, last);
  }

  sendTrailers(stream: Http2Stream, trailers: HeaderBlock): void {
    if (!stream.isOver) this.sender.sendTrailers(stream, trailers);
  }

  resetByUser(stream: Http2Stream, error: StreamError): void {
    if (stream.isOver) this.#forgive(stream);
    else if (error.code === H2_ERROR.NO_ERROR && stream.endsAfterBuffer && !stream.isLocalClosed) {
      // "My answer is complete, send no more" (RFC 9113 §8.1): what waits for the window is still sent.
      stream.isLeaving = true;
      stream.handler = undefined;
      this.#forgive(stream);
    } else this.endStream(stream, error.code);
  }

  consumed(stream: Http2Stream, bytes: number): void {
    const passed = Math.min(bytes, stream.unconsumed);
    if (passed <= 0 || this.isClosed) return;
    stream.unconsumed -= passed;
    this.creditConnection(passed);
    if (!stream.isOver) this.creditStream(stream, passed);
  }

  onLocalEnd(stream: Http2Stream): void {
    if (stream.isRemoteClosed) this.finish(stream);
    else if (stream.isLeaving) this.endStream(stream, H2_ERROR.NO_ERROR);
  }

  /** One timer a connection, and only while something waits: a stream without progress between two looks is reset. */
  onFlushWait(): void {
    const { streamFlushTimeoutMs } = this.settings;
    if (this.#flushTimer !== undefined || streamFlushTimeoutMs <= 0 || this.isClosed) return;
    this.#flushTimer = this.clock.setTimer(streamFlushTimeoutMs, () => this.#checkFlush());
  }

  #checkFlush(): void {
    this.#flushTimer = undefined;
    const stalled: Http2Stream[] = [];
    let isWaiting = false;
    for (const stream of this.streams.all()) {
      if (!stream.endsAfterBuffer || stream.bufferedBytes === 0) continue;
      if (stream.flushMark === stream.bufferedBytes) stalled.push(stream);
      else isWaiting = true;
      stream.flushMark = stream.bufferedBytes;
    }
    for (const stream of stalled) {
      if (!stream.isOver) this.streamError(stream, H2_ERROR.CANCEL, "the peer made no room for the rest of a message");
    }
    if (isWaiting) this.onFlushWait();
  }

  onFlood(reason: string): void {
    if (reason !== "") this.connectionError(H2_ERROR.ENHANCE_YOUR_CALM, reason);
  }

  /** Writes RST_STREAM, tells the handler, and counts it among what the peer provoked. */
  protected streamError(stream: Http2Stream, code: number, message: string): void {
    const isPremature = !stream.isHeadSent && this.nowMs - stream.createdMs < PREMATURE_MS;
    this.endStream(stream, code);
    stream.handler?.onReset(makeStreamError("us", "stream", code, message));
    if (isPremature) this.onFlood(this.guard.countPrematureReset());
  }

  /** Refuses a stream that never was one of ours. */
  protected refuseStream(id: number, code: number): void {
    this.closed.add(id, true);
    this.writeReset(id, code);
  }

  protected writeReset(id: number, code: number): void {
    if (this.isClosed) return;
    writeReset(this.host.out, id, code);
    this.onFlood(this.guard.countControl());
  }

  /** RST_STREAM and the end of it on our side; the handler hears nothing. */
  protected endStream(stream: Http2Stream, code: number): void {
    const id = stream.id;
    this.forget(stream, true);
    if (id !== 0) this.writeReset(id, code);
    this.afterStream(stream);
  }

  /** Both sides have ended. */
  protected finish(stream: Http2Stream): void {
    this.forget(stream, false);
    this.afterStream(stream);
  }

  protected connectionError(code: number, message: string): void {
    if (this.isClosed) return;
    writeGoaway(this.host.out, this.lastPeerStreamId, code);
    const error = makeStreamError("us", "connection", code, message);
    this.#shut();
    this.abandonStreams(error);
    this.host.close(error);
  }

  /** Closes after a good end. */
  protected closeCleanly(): void {
    if (this.isClosed) return;
    this.#shut();
    this.host.close(undefined);
  }

  protected abandonStreams(error: StreamError): void {
    const all = this.streams.all();
    this.streams.clear();
    for (const stream of all) {
      this.forget(stream, true);
      stream.handler?.onReset(error);
    }
  }

  #shut(): void {
    this.isClosed = true;
    this.#flushTimer?.cancel();
    this.onShut();
  }

  protected forget(stream: Http2Stream, byUs: boolean): void {
    stream.isOver = true;
    stream.dropBuffer();
    stream.trailers = undefined;
    if (stream.id !== 0) {
      this.streams.delete(stream.id);
      this.closed.add(stream.id, byUs);
    }
    this.#forgive(stream);
  }

  /** What was received for a stream that is over must not hold the connection's window. */
  #forgive(stream: Http2Stream): void {
    const held = stream.unconsumed;
    stream.unconsumed = 0;
    if (held > 0 && !this.isClosed) this.creditConnection(held);
  }

  protected creditConnection(bytes: number): void {
    this.#credit += bytes;
    this.replenish();
  }

  /**
   * Tells the peer what was passed on: at half of the connection's window; sooner when less is left of it than waits to be told,
   * or one stream that nobody reads could hold the rest of the window, and all others would wait for ever.
   */
  protected replenish(): void {
    const credit = this.#credit;
    if (credit * 2 < this.settings.initialConnectionWindowBytes && credit <= this.window) return;
    if (credit === 0 || this.isClosed) return;
    writeWindowUpdate(this.host.out, 0, credit);
    this.window += credit;
    this.#credit = 0;
  }

  protected creditStream(stream: Http2Stream, bytes: number): void {
    if (stream.isRemoteClosed) return;
    stream.credit += bytes;
    if (stream.credit * 2 < this.settings.initialStreamWindowBytes) return;
    writeWindowUpdate(this.host.out, stream.id, stream.credit);
    stream.receiveWindow += stream.credit;
    stream.credit = 0;
  }
}
