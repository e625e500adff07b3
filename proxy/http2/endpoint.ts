// Reads a connection's frames (RFC 9113 §6): what is no message is dealt with here, header blocks go to the side that knows.
import type { Clock, Timer } from "#lib/clock.ts";
import type { CodecHost } from "#lib/http/stream.ts";
import { formatErrorCode, H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { Http2Connection } from "./connection.ts";
import { PREMATURE_MS } from "./flood-guard.ts";
import { FLAG, FRAME, readUint31, readUint32 } from "./frame.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { writePing, writePingAck, writeSettings, writeSettingsAck } from "./frame-writer.ts";
import { HeaderAssembly } from "./header-assembly.ts";
import type { Http2Settings } from "./settings.ts";
import type { Http2Stream } from "./stream.ts";

/** What one connection may have handled in one turn, so that all others have theirs. */
const FRAMES_PER_TURN = 64;
/** Why we sent a PING: its last octet. */
const PING_KEEPALIVE = 1;
const PING_DRAIN = 2;

/** A window that opens by less makes us write more framing than content. */
const TINY_WINDOW_BYTES = 64;

const NO_BYTES = Buffer.alloc(0);

export abstract class Http2Endpoint extends Http2Connection implements FrameSink {
  protected readonly reader: FrameReader;
  readonly #isServer: boolean;
  readonly #assembly: HeaderAssembly;
  /** The stream of the DATA frame being read. */
  #dataStream: Http2Stream | undefined = undefined;
  #isDataEnd = false;
  #sawSettings = false;
  #settingsTimer: Timer | undefined = undefined;
  #keepaliveTimer: Timer | undefined = undefined;
  #hasReceived = false;
  #turn = -1;
  /** Bytes that came in a turn whose share of frames was used up. */
  #rest: Buffer | undefined = undefined;
  #hasEnded = false;

  constructor(host: CodecHost, settings: Http2Settings, clock: Clock, isServer: boolean) {
    super(host, settings, clock);
    this.#isServer = isServer;
    this.reader = new FrameReader(this);
    this.#assembly = new HeaderAssembly(settings.maxHeadersBytes);
  }

  /** A whole header block; it must be decoded whatever becomes of it, because the HPACK table follows. */
  protected abstract onHeaders(
    id: number,
    isEnd: boolean,
    dependsOnSelf: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): void;
  protected abstract onGoaway(lastStreamId: number, code: number): void;
  protected abstract onPeerSettings(): void;
  /** The peer has seen our first GOAWAY. */
  protected abstract onDrainAcknowledged(): void;
  /** Whether a stream of this number was never used. */
  protected abstract isIdle(id: number): boolean;

  protected start(): void {
    writeSettings(this.host.out, this.settings, this.#isServer);
    const { settingsTimeoutMs, keepaliveIntervalMs } = this.settings;
    if (settingsTimeoutMs > 0) {
      this.#settingsTimer = this.clock.setTimer(settingsTimeoutMs, () =>
        this.connectionError(H2_ERROR.SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time"),
      );
    }
    if (keepaliveIntervalMs > 0) this.#watch();
  }

  /** A header block has begun and is not complete: what a limit on slow heads looks at. */
  get isReadingHead(): boolean {
    return this.#assembly.streamId !== 0 || this.reader.isInsideHeaders;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    if (this.isClosed) return;
    this.#hasReceived = true;
    this.nowMs = this.clock.nowMs();
    this.guard.beginRead(this.nowMs);
    if (this.guard.hasWaiting && this.host.out.pendingBytes === 0) this.guard.clearWaiting();
    const { turn } = this.host;
    if (turn !== undefined && turn !== this.#turn) {
      this.#turn = turn;
      this.reader.framesLeft = FRAMES_PER_TURN;
    }
    const stopped = this.#rest === undefined ? this.reader.read(bytes, start, end) : start;
    if (stopped < end && !this.isClosed) this.#keepRest(bytes, stopped, end);
  }

  /** Goes on with what was left of the last turn. */
  onTurn(): void {
    const rest = this.#rest;
    this.#rest = undefined;
    if (rest !== undefined) this.receive(rest, 0, rest.length);
    if (this.#rest !== undefined || !this.#hasEnded) return;
    this.#hasEnded = false;
    this.receiveEnd();
  }

  abstract receiveEnd(): void;

  /** The peer has ended. True: that must wait, because what came before it does; `receiveEnd` is called again then. */
  protected delaysEnd(): boolean {
    this.#hasEnded = this.#rest !== undefined;
    return this.#hasEnded;
  }

  /** So many frames in one turn are enough; the rest is kept, for the buffer is everybody's, and nothing more is read. */
  #keepRest(bytes: Buffer, start: number, end: number): void {
    const kept = bytes.subarray(start, end);
    this.#rest = this.#rest === undefined ? Buffer.from(kept) : Buffer.concat([this.#rest, kept]);
    this.host.rest?.();
  }

  onBadFrame(code: number, problem: string): void {
    this.connectionError(code, problem);
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (!this.#sawSettings && type !== FRAME.SETTINGS)
      return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    if (this.#assembly.streamId !== 0 && (type !== FRAME.CONTINUATION || id !== this.#assembly.streamId))
      return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "a frame between HEADERS and its CONTINUATION");
    switch (type) {
      case FRAME.HEADERS:
        return this.#onHeadersFrame(flags, id, bytes, start, end);
      case FRAME.CONTINUATION:
        return this.#onContinuation(flags, bytes, start, end);
      case FRAME.WINDOW_UPDATE:
        return this.#onWindowUpdate(id, bytes, start, end);
      case FRAME.RST_STREAM:
        return this.#onReset(id, bytes, start, end);
      case FRAME.SETTINGS:
        return this.#onSettings(flags, id, bytes, start, end);
      case FRAME.PING:
        return this.#onPing(flags, id, bytes, start, end);
      case FRAME.GOAWAY:
        if (id !== 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "GOAWAY on a stream");
        if (end - start < 8) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "a short GOAWAY");
        if (this.countsAsFlood()) return;
        return this.onGoaway(readUint31(bytes, start), readUint32(bytes, start + 4));
      case FRAME.PRIORITY:
        return this.#onPriority(id, bytes, start, end);
      case FRAME.PUSH_PROMISE:
        return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody allowed");
      default:
        // Unknown types are ignored (RFC 9113 §5.5), PRIORITY_UPDATE (RFC 9218) among them: we keep no priorities.
        this.countsAsFlood();
    }
  }

  onDataStart(flags: number, id: number, length: number): void {
    this.#dataStream = undefined;
    if (!this.#sawSettings) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "the first frame is not SETTINGS");
    if (this.#assembly.streamId !== 0)
      return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "DATA between HEADERS and its CONTINUATION");
    if (id === 0 || this.isIdle(id))
      return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "DATA on a stream that was never opened");
    this.#isDataEnd = (flags & FLAG.END_STREAM) !== 0;
    const flood = this.guard.countInbound(length === 0 && !this.#isDataEnd);
    if (flood !== "") return this.onFlood(flood);
    this.window -= length;
    if (this.window < 0)
      return this.connectionError(H2_ERROR.FLOW_CONTROL_ERROR, "more DATA than the connection's window");
    this.replenish();
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (!this.closed.wasResetByUs(id)) this.#onDataAfterEnd(id);
      else if (length === 0) this.countsAsFlood();
      return;
    }
    if (stream.isRemoteClosed) return this.streamError(stream, H2_ERROR.STREAM_CLOSED, "DATA after END_STREAM");
    if (!stream.isHeadReceived) return this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, "DATA before HEADERS");
    stream.receiveWindow -= length;
    if (stream.receiveWindow < 0)
      return this.streamError(stream, H2_ERROR.FLOW_CONTROL_ERROR, "more DATA than the stream's window");
    this.#dataStream = stream;
  }

  onPadding(bytes: number): void {
    this.creditConnection(bytes);
    const stream = this.#dataStream;
    if (stream !== undefined && !stream.isOver) this.creditStream(stream, bytes);
  }

  onDataPiece(bytes: Buffer, start: number, end: number, isFrameEnd: boolean): void {
    const stream = this.#dataStream;
    const length = end - start;
    if (stream === undefined || stream.isOver) {
      this.creditConnection(length);
      return;
    }
    const last = isFrameEnd && this.#isDataEnd;
    if (stream.contentLeft >= 0) {
      stream.contentLeft -= length;
      if (stream.contentLeft < 0 || (last && stream.contentLeft > 0)) {
        this.creditConnection(length);
        this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, "a body that is not as long as content-length says");
        return;
      }
    }
    if (length === 0 && !last) {
      // Padding may have been all of it.
      this.countsAsFlood();
      return;
    }
    if (stream.isLeaving) this.creditConnection(length);
    else stream.unconsumed += length;
    if (last) stream.isRemoteClosed = true;
    stream.handler?.onData(bytes, start, end, last);
    if (last && stream.isLocalClosed && !stream.isOver) this.finish(stream);
  }

  /** One more frame that carries nothing; true: it was one too many, and the connection is closed. */
  protected countsAsFlood(): boolean {
    const flood = this.guard.countIdle();
    if (flood === "") return false;
    this.onFlood(flood);
    return true;
  }

  protected onShut(): void {
    this.reader.stop();
    this.#rest = undefined;
    this.#settingsTimer?.cancel();
    this.#keepaliveTimer?.cancel();
  }

  protected pingToDrain(): void {
    writePing(this.host.out, PING_DRAIN);
  }

  #onHeadersFrame(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "HEADERS on stream 0");
    let from = start;
    let to = end;
    if ((flags & FLAG.PADDED) !== 0) {
      to -= bytes[from++] ?? 0;
      if (start === end) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "padded HEADERS without a pad length");
    }
    let dependsOnSelf = false;
    if ((flags & FLAG.PRIORITY) !== 0) {
      if (end - from < 5) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "HEADERS with a cut priority");
      dependsOnSelf = readUint31(bytes, from) === id;
      from += 5;
    }
    if (to < from) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "more padding than HEADERS");
    const isEnd = (flags & FLAG.END_STREAM) !== 0;
    const isWhole = (flags & FLAG.END_HEADERS) !== 0;
    const flood = this.guard.countInbound(from === to && !isEnd && !isWhole);
    if (flood !== "") return this.onFlood(flood);
    if (isWhole) return this.onHeaders(id, isEnd, dependsOnSelf, bytes, from, to);
    this.#assembly.begin(id, isEnd, dependsOnSelf, bytes, from, to);
  }

  #onContinuation(flags: number, bytes: Buffer, start: number, end: number): void {
    const assembly = this.#assembly;
    const id = assembly.streamId;
    if (id === 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "CONTINUATION without HEADERS");
    const isWhole = (flags & FLAG.END_HEADERS) !== 0;
    const flood = this.guard.countInbound(start === end && !isWhole);
    if (flood !== "") return this.onFlood(flood);
    if (!assembly.append(bytes, start, end))
      return this.connectionError(H2_ERROR.ENHANCE_YOUR_CALM, "a header block that does not end");
    if (!isWhole) return;
    const block = assembly.take();
    this.onHeaders(id, assembly.isEnd, assembly.dependsOnSelf, block, 0, block.length);
  }

  #onWindowUpdate(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "WINDOW_UPDATE that is not 4 octets");
    const increment = readUint31(bytes, start);
    const flood = this.guard.countWindowUpdate();
    if (flood !== "") return this.onFlood(flood);
    if (increment < TINY_WINDOW_BYTES && this.countsAsFlood()) return;
    if (id === 0) {
      if (increment === 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
      if (!this.sender.widen(increment))
        this.connectionError(H2_ERROR.FLOW_CONTROL_ERROR, "the connection's window above its maximum");
      return;
    }
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.connectionError(H2_ERROR.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream");
      return;
    }
    if (increment === 0) return this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    if (!this.sender.widenStream(stream, increment))
      return this.streamError(stream, H2_ERROR.FLOW_CONTROL_ERROR, "a stream's window above its maximum");
    this.sender.pump();
  }

  #onReset(id: number, bytes: Buffer, start: number, end: number): void {
    if (end - start !== 4) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "RST_STREAM that is not 4 octets");
    if (id === 0 || this.isIdle(id))
      return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "RST_STREAM on an idle stream");
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.countsAsFlood();
      return;
    }
    const code = readUint32(bytes, start);
    if (code === H2_ERROR.NO_ERROR && this.#endsWithReset(stream)) return;
    this.forget(stream, false);
    stream.handler?.onReset(
      makeStreamError(
        "peer",
        "stream",
        code,
        `The peer reset the stream: ${formatErrorCode(code)}`,
        code === H2_ERROR.REFUSED_STREAM,
      ),
    );
    this.afterStream(stream);
    if (this.#isServer && !stream.isHeadSent && this.nowMs - stream.createdMs < PREMATURE_MS)
      this.onFlood(this.guard.countPrematureReset());
  }

  /**
   * Under load node:http2 sends all octets that `content-length` promised and then RST_STREAM in place of END_STREAM: the
   * answer is whole. True: so is the request, and the stream has ended well.
   */
  #endsWithReset(stream: Http2Stream): boolean {
    if (this.#isServer || !stream.isHeadReceived || stream.isRemoteClosed || stream.contentLeft !== 0) return false;
    stream.isRemoteClosed = true;
    stream.handler?.onData(NO_BYTES, 0, 0, true);
    if (!stream.isOver && stream.isLocalClosed) this.finish(stream);
    return stream.isOver;
  }

  #onSettings(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "SETTINGS on a stream");
    if (this.countsAsFlood()) return;
    if ((flags & FLAG.ACK) !== 0) {
      if (start !== end) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "SETTINGS acknowledged with a payload");
      if (!this.#sawSettings) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "the first SETTINGS is an answer");
      this.#settingsTimer?.cancel();
      this.#settingsTimer = undefined;
      this.decoder.setLimit(this.settings.hpackTableSizeBytes);
      return;
    }
    if ((end - start) % 6 !== 0)
      return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "SETTINGS that are not pairs of 6 octets");
    this.#sawSettings = true;
    const before = this.peer.initialWindowBytes;
    const error = this.peer.apply(bytes, start, end);
    if (error >= 0) return this.connectionError(error, "a SETTINGS value out of its range");
    const change = this.peer.initialWindowBytes - before;
    if (change !== 0) {
      for (const stream of this.streams.all()) {
        if (this.sender.widenStream(stream, change)) continue;
        return this.connectionError(H2_ERROR.FLOW_CONTROL_ERROR, "a stream's window above its maximum");
      }
    }
    this.sender.encoder.setLimit(Math.min(this.peer.smallestHeaderTableBytes, this.peer.headerTableBytes));
    this.sender.encoder.setLimit(this.peer.headerTableBytes);
    writeSettingsAck(this.host.out);
    const flood = this.guard.countControl();
    if (flood !== "") return this.onFlood(flood);
    this.sender.pump();
    this.onPeerSettings();
  }

  #onPing(flags: number, id: number, bytes: Buffer, start: number, end: number): void {
    if (id !== 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "PING on a stream");
    if (end - start !== 8) return this.connectionError(H2_ERROR.FRAME_SIZE_ERROR, "PING that is not 8 octets");
    if (this.countsAsFlood()) return;
    if ((flags & FLAG.ACK) !== 0) {
      if (readUint32(bytes, start) === 0 && readUint32(bytes, start + 4) === PING_DRAIN) this.onDrainAcknowledged();
      return;
    }
    writePingAck(this.host.out, bytes, start);
    this.onFlood(this.guard.countControl());
  }

  /** Priorities are read and not followed (RFC 9113 §5.3.2). */
  #onPriority(id: number, bytes: Buffer, start: number, end: number): void {
    if (id === 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "PRIORITY on stream 0");
    const flood = this.guard.countPriority();
    if (flood !== "") return this.onFlood(flood);
    const isCut = end - start !== 5;
    if (!isCut && readUint31(bytes, start) !== id) return;
    const code = isCut ? H2_ERROR.FRAME_SIZE_ERROR : H2_ERROR.PROTOCOL_ERROR;
    const problem = isCut ? "PRIORITY that is not 5 octets" : "a stream that depends on itself";
    const stream = this.streams.get(id);
    if (stream !== undefined) this.streamError(stream, code, problem);
    else if (this.isIdle(id)) this.connectionError(code, problem);
    else this.writeReset(id, code);
  }

  #onDataAfterEnd(id: number): void {
    if (this.closed.has(id)) this.connectionError(H2_ERROR.STREAM_CLOSED, "DATA on a closed stream");
    else this.writeReset(id, H2_ERROR.STREAM_CLOSED);
  }

  /** PING when nothing came for an interval; the end when nothing comes after it either. */
  #watch(): void {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.settings;
    this.#hasReceived = false;
    this.#keepaliveTimer = this.clock.setTimer(keepaliveIntervalMs, () => {
      if (this.#hasReceived) {
        this.#watch();
        return;
      }
      writePing(this.host.out, PING_KEEPALIVE);
      this.#keepaliveTimer = this.clock.setTimer(keepaliveTimeoutMs, () => {
        if (this.#hasReceived) this.#watch();
        else this.connectionError(H2_ERROR.NO_ERROR, "The peer did not answer a keepalive PING");
      });
    });
  }
}
