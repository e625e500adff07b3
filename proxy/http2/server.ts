// The server's side of HTTP/2: requests in, responses out, graceful end.
import type { Clock, Timer } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { CodecHost, ServerCodec, ServerHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError } from "#lib/http/stream-error.ts";
import { systemRandom } from "#lib/random.ts";
import { Http2Endpoint } from "./endpoint.ts";
import { CLIENT_PREFACE, MAX_STREAM_ID } from "./frame.ts";
import { makeBlockFor } from "./hpack-decoder.ts";
import { writeGoaway } from "./frame-writer.ts";
import { checkRequest, checkTrailers } from "./head-facts.ts";
import type { Http2Settings } from "./settings.ts";
import { Http2Stream, KIND_CONNECT, KIND_WEBSOCKET } from "./stream.ts";
import { toConnectResponse, toUpgradeRequest } from "./websocket.ts";

/** How long a peer may leave the first GOAWAY's PING unanswered before the last stream is named. */
const DRAIN_PING_MS = 1000;

export interface Http2DrainOptions {
  /** Ms between the two GOAWAYs where the peer does not answer the PING between them. Envoy: `drain_timeout`. */
  readonly drainPingMs: number;
}

/*
 *   open -> drain(): GOAWAY(2^31-1) and PING -> its answer, or drainPingMs: GOAWAY(last stream) -> the last stream ends: close
 *
 * Streams that the peer opens before it saw the first GOAWAY are served; those after the second are refused.
 */
export class Http2Server extends Http2Endpoint implements ServerCodec {
  readonly #handler: ServerHandler;
  readonly #drainPingMs: number;
  #prefaceLength = 0;
  #lastStreamId = 0;
  /** No stream above the last one is served any more. */
  #isFinal = false;
  #hasEnded = false;
  #drainTimer: Timer | undefined = undefined;

  constructor(
    host: CodecHost,
    handler: ServerHandler,
    settings: Http2Settings,
    clock: Clock,
    options?: Http2DrainOptions,
  ) {
    super(host, settings, clock, true);
    this.#handler = handler;
    this.#drainPingMs = options?.drainPingMs ?? DRAIN_PING_MS;
    this.start();
  }

  override receive(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (this.#prefaceLength < CLIENT_PREFACE.length && at < end) {
      if (bytes[at++] !== CLIENT_PREFACE[this.#prefaceLength++]) {
        this.connectionError(H2_ERROR.PROTOCOL_ERROR, "not HTTP/2's preface");
        return;
      }
    }
    if (at < end) super.receive(bytes, at, end);
  }

  /** A peer that only half-closed still gets the answers to what it has asked wholly. */
  receiveEnd(): void {
    if (this.isClosed || this.delaysEnd()) return;
    this.#hasEnded = true;
    this.isDraining = true;
    for (const stream of this.streams.all()) {
      if (stream.isRemoteClosed || stream.isOver) continue;
      this.endStream(stream, H2_ERROR.CANCEL);
      stream.handler?.onReset(
        makeStreamError("transport", "connection", H2_ERROR.CANCEL, "The peer closed the connection within a request"),
      );
    }
    this.#closeWhenDone();
  }

  drain(): void {
    if (this.isDraining || this.isClosed) return;
    this.isDraining = true;
    writeGoaway(this.host.out, MAX_STREAM_ID, H2_ERROR.NO_ERROR);
    this.pingToDrain();
    this.#drainTimer = this.clock.setTimer(this.#drainPingMs, () => this.onDrainAcknowledged());
  }

  /** GOAWAY tells the peer in time which of its requests count, so that this is the same as `drain`. */
  retire(): void {
    this.drain();
  }

  /** A header block that does not end: nobody can read what follows it, so the connection goes. */
  refuseSlowHead(): void {
    this.connectionError(H2_ERROR.ENHANCE_YOUR_CALM, "a header block took too long");
  }

  sendInformational(stream: Http2Stream, head: HeaderBlock): void {
    if (stream.isOver || stream.isHeadSent) return;
    this.sender.writeHeaders(stream, head, false, false);
  }

  sendHead(stream: Http2Stream, head: HeaderBlock, end: boolean): void {
    if (stream.isOver || stream.isHeadSent) return;
    stream.isHeadSent = true;
    const isAccepted = stream.kind === KIND_WEBSOCKET && head.get(":status") === "101";
    this.sender.writeHeaders(stream, isAccepted ? toConnectResponse(head, stream.webSocketKey) : head, end, false);
  }

  protected get lastPeerStreamId(): number {
    return this.#lastStreamId;
  }

  protected override onShut(): void {
    super.onShut();
    this.#drainTimer?.cancel();
  }

  protected isIdle(id: number): boolean {
    return id > this.#lastStreamId || (id & 1) === 0;
  }

  /** The peer will open no more streams: it closes when it likes, we when nothing runs. */
  protected onGoaway(_lastStreamId: number, _code: number): void {
    this.isDraining = true;
    this.#isFinal = true;
    this.#closeWhenDone();
  }

  protected onPeerSettings(): void {
    // A server opens no streams, so nothing waits for these.
  }

  protected onDrainAcknowledged(): void {
    if (!this.isDraining || this.#isFinal || this.isClosed) return;
    this.#drainTimer?.cancel();
    this.#isFinal = true;
    writeGoaway(this.host.out, this.#lastStreamId, H2_ERROR.NO_ERROR);
    this.#closeWhenDone();
  }

  protected afterStream(_stream: Http2Stream): void {
    if (this.isDraining) this.#closeWhenDone();
  }

  protected onHeaders(
    id: number,
    isEnd: boolean,
    dependsOnSelf: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const block = makeBlockFor(end - start);
    if (!this.decoder.decode(bytes, start, end, block))
      return this.connectionError(H2_ERROR.COMPRESSION_ERROR, "a header block that is no HPACK");
    const stream = this.streams.get(id);
    if (stream !== undefined) return this.#onTrailers(stream, isEnd, dependsOnSelf, block);
    if ((id & 1) === 0) return this.connectionError(H2_ERROR.PROTOCOL_ERROR, "a client's stream with an even number");
    if (id <= this.#lastStreamId) {
      if (this.closed.wasResetByUs(id)) {
        this.countsAsFlood();
        return;
      }
      const code = this.closed.has(id) ? H2_ERROR.STREAM_CLOSED : H2_ERROR.PROTOCOL_ERROR;
      return this.connectionError(code, "HEADERS on a stream that is over");
    }
    this.#lastStreamId = id;
    this.guard.countStream();
    if (this.#isFinal || this.streams.size >= this.settings.maxConcurrentStreams) {
      this.refuseStream(id, H2_ERROR.REFUSED_STREAM);
      this.countsAsFlood();
      return;
    }
    if (dependsOnSelf) return this.#refuse(id, H2_ERROR.PROTOCOL_ERROR);
    if (this.decoder.facts.isTooLarge) return this.#answerTooLarge(id, isEnd, end - start);
    const problem = checkRequest(this.decoder.facts, block, this.settings.allowConnect);
    const length = this.decoder.facts.contentLength;
    if (problem !== "" || (isEnd && length > 0)) return this.#refuse(id, H2_ERROR.PROTOCOL_ERROR);
    this.#open(id, isEnd, length, block);
  }

  #open(id: number, isEnd: boolean, contentLength: number, block: HeaderBlock): void {
    const stream = new Http2Stream(
      this,
      id,
      this.peer.initialWindowBytes,
      this.settings.initialStreamWindowBytes,
      this.nowMs,
    );
    stream.isHeadReceived = true;
    stream.isRemoteClosed = isEnd;
    const facts = this.decoder.facts;
    if (facts.protocolAt >= 0 && block.valueAt(facts.protocolAt) === "websocket") {
      stream.kind = KIND_WEBSOCKET;
      stream.webSocketKey = toUpgradeRequest(block, systemRandom);
    } else if (facts.methodAt >= 0 && block.knownValueAt(facts.methodAt) === "CONNECT") stream.kind = KIND_CONNECT;
    else stream.contentLeft = contentLength;
    this.guard.countWork();
    this.streams.add(stream);
    stream.handler = this.#handler.onStream(stream);
    stream.handler.onHead(block, isEnd);
  }

  #onTrailers(stream: Http2Stream, isEnd: boolean, dependsOnSelf: boolean, block: HeaderBlock): void {
    if (stream.isRemoteClosed) return this.streamError(stream, H2_ERROR.STREAM_CLOSED, "HEADERS after END_STREAM");
    const facts = this.decoder.facts;
    let problem = isEnd ? checkTrailers(facts) : "HEADERS in the middle of a request";
    if (dependsOnSelf) problem = "a stream that depends on itself";
    if (facts.isTooLarge) problem = "trailers above the limit";
    if (stream.contentLeft > 0) problem = "a body shorter than content-length says";
    if (stream.kind !== 0) problem = "trailers in a tunnel";
    if (problem !== "") return this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, problem);
    stream.isRemoteClosed = true;
    stream.handler?.onTrailers(block);
    if (stream.isLocalClosed && !stream.isOver) this.finish(stream);
  }

  /** A malformed request: nobody above hears of it (RFC 9113 §8.1.1). */
  #refuse(id: number, code: number): void {
    this.refuseStream(id, code);
    this.onFlood(this.guard.countPrematureReset());
  }

  /** A head that is refused cost as much as its octets: each 4 KiB count as a stream that was reset. */
  #answerTooLarge(id: number, isEnd: boolean, octets: number): void {
    this.sender.writeBlock(id, HeaderBlock.of([":status", "431"], ["content-length", "0"]), true, false);
    if (isEnd) this.closed.add(id, false);
    else this.refuseStream(id, H2_ERROR.NO_ERROR);
    this.onFlood(this.guard.countPrematureReset(1 + (octets >>> 12)));
  }

  #closeWhenDone(): void {
    if (this.streams.size === 0 && (this.#isFinal || this.#hasEnded)) this.closeCleanly();
  }
}
