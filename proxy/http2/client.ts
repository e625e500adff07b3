// The client's side of HTTP/2: opens streams as far as the peer lets it, responses in.
import type { Clock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { ClientCodec, ClientHandler, CodecHost, HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { formatErrorCode, H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { Http2Endpoint } from "./endpoint.ts";
import { CLIENT_PREFACE, MAX_STREAM_ID } from "./frame.ts";
import { makeBlockFor } from "./hpack-decoder.ts";
import { writeGoaway } from "./frame-writer.ts";
import { checkResponse, checkTrailers } from "./head-facts.ts";
import type { Http2Settings } from "./settings.ts";
import { Http2Stream, KIND_CONNECT, KIND_HEAD, KIND_PLAIN, KIND_WEBSOCKET } from "./stream.ts";
import { isWebSocketUpgrade, toConnectRequest, toUpgradeResponse } from "./websocket.ts";

/** A head that waits for SETTINGS_ENABLE_CONNECT_PROTOCOL. */
interface HeldHead {
  readonly stream: Http2Stream;
  readonly head: HeaderBlock;
  readonly isEnd: boolean;
}

/*
 *   available <-> full (the peer's MAX_CONCURRENT_STREAMS)
 *       \-> retired: drain(), GOAWAY, FIN, no numbers left -> the last stream ends: close
 */
export class Http2Client extends Http2Endpoint implements ClientCodec {
  readonly #handler: ClientHandler;
  idleSinceMs = 0;
  isSettled = false;
  #nextStreamId = 1;
  /** Opened by `open`, without a number yet. */
  #opening = 0;
  #held: HeldHead[] = [];
  #isRetired = false;
  /** What had left the outbox when the first stream that may still lie in it was written, and that stream. */
  #flushedBytes = 0;
  #firstUnsentId = 0;
  #wasFull = false;

  constructor(host: CodecHost, handler: ClientHandler, settings: Http2Settings, clock: Clock) {
    super(host, settings, clock, false);
    this.#handler = handler;
    host.out.reserve(CLIENT_PREFACE.length);
    host.out.position += CLIENT_PREFACE.copy(host.out.buffer, host.out.position);
    this.start();
  }

  get isAvailable(): boolean {
    return !this.#isRetired && !this.isClosed && this.activeStreams < this.maxStreams;
  }

  get maxStreams(): number {
    return this.peer.maxConcurrentStreams;
  }

  override get activeStreams(): number {
    return this.streams.size + this.#opening;
  }

  /** Whether the peer takes extended CONNECT (RFC 8441); undefined until its SETTINGS have come. */
  get allowsConnectProtocol(): boolean | undefined {
    return this.peer.isKnown ? this.peer.allowsConnectProtocol : undefined;
  }

  open(handler: StreamHandler): HttpStream {
    const stream = new Http2Stream(this, 0, 0, this.settings.initialStreamWindowBytes, this.nowMs);
    stream.handler = handler;
    this.#opening++;
    if (this.activeStreams >= this.maxStreams) this.#wasFull = true;
    return stream;
  }

  sendInformational(): void {
    // A request has no informational heads.
  }

  sendHead(stream: Http2Stream, head: HeaderBlock, end: boolean): void {
    if (stream.isOver || stream.isHeadSent || stream.isHeld) return;
    if (this.isClosed || this.#nextStreamId > MAX_STREAM_ID) {
      const problem = "The connection takes no more streams";
      this.#failLater(stream, makeStreamError("us", "stream", H2_ERROR.REFUSED_STREAM, problem, true));
      return;
    }
    const limitBytes = this.exceededLimit(head);
    if (limitBytes !== undefined) {
      const problem = `The request's headers are above the ${limitBytes} bytes that the server takes`;
      this.#failLater(stream, makeStreamError("user", "stream", H2_ERROR.PROTOCOL_ERROR, problem, false, 400));
      return;
    }
    const method = head.get(":method");
    if (method === "HEAD") stream.kind = KIND_HEAD;
    else if (method === "CONNECT") stream.kind = KIND_CONNECT;
    else if (method === "GET" && isWebSocketUpgrade(head)) stream.kind = KIND_WEBSOCKET;
    if (stream.kind <= KIND_HEAD || (stream.kind === KIND_CONNECT && !head.has(":protocol"))) {
      this.#writeHead(stream, head, end);
      return;
    }
    let request = head;
    if (stream.kind === KIND_WEBSOCKET) {
      stream.webSocketKey = head.get("sec-websocket-key") ?? "";
      request = toConnectRequest(head);
    }
    if (this.peer.allowsConnectProtocol) this.#writeHead(stream, request, end);
    else if (this.peer.isKnown) this.#refuseConnect(stream);
    else {
      request.detach();
      stream.isHeld = true;
      this.#held.push({ stream, head: request, isEnd: end });
    }
  }

  override resetByUser(stream: Http2Stream, error: StreamError): void {
    if (!stream.isOver && stream.id === 0) this.#opening--;
    super.resetByUser(stream, error);
  }

  /** The server will say no more: what is not answered never will be. */
  receiveEnd(): void {
    if (this.isClosed || this.delaysEnd()) return;
    this.#tellPeerClosed();
    this.#retire();
    const error = makeStreamError("transport", "connection", H2_ERROR.CANCEL, "The peer closed the connection");
    this.#failUnsent(error);
    this.abandonStreams(error);
    this.closeCleanly();
  }

  override connectionLost(error: StreamError): void {
    if (!this.isClosed) {
      this.#tellPeerClosed();
      this.#retire();
      this.#failUnsent(error);
    }
    super.connectionLost(error);
  }

  drain(): void {
    if (this.isDraining || this.isClosed) return;
    this.isDraining = true;
    writeGoaway(this.host.out, 0, H2_ERROR.NO_ERROR);
    this.#retire();
    this.#closeWhenDone();
  }

  protected get lastPeerStreamId(): number {
    return 0;
  }

  protected isIdle(id: number): boolean {
    return id >= this.#nextStreamId || (id & 1) === 0;
  }

  protected override connectionError(code: number, message: string): void {
    if (!this.isClosed) this.#retire();
    super.connectionError(code, message);
  }

  protected override abandonStreams(error: StreamError): void {
    const held = this.#held;
    this.#held = [];
    super.abandonStreams(error);
    for (const { stream } of held) this.#failHeld(stream, { ...error, isUnprocessed: true });
  }

  protected onGoaway(lastStreamId: number, code: number): void {
    if (code === H2_ERROR.NO_ERROR) this.#tellPeerClosed();
    this.#retire();
    const error = makeStreamError(
      "peer",
      "connection",
      code === H2_ERROR.NO_ERROR ? H2_ERROR.REFUSED_STREAM : code,
      `The peer ended the connection before this stream: ${formatErrorCode(code)}`,
      true,
    );
    this.#failAbove(lastStreamId, error);
    this.#closeWhenDone();
  }

  protected onPeerSettings(): void {
    const held = this.#held;
    this.#held = [];
    for (const { stream, head, isEnd } of held) {
      if (stream.isOver) continue;
      if (!this.peer.allowsConnectProtocol) {
        this.#failHeld(stream, connectRefused());
        continue;
      }
      this.#writeHead(stream, head, isEnd);
      this.sender.release(stream);
    }
    const isFirst = !this.isSettled;
    this.isSettled = true;
    // Its owner counts on streams that it may not have, and must hear so too.
    if (isFirst || (this.isAvailable && this.#wasFull)) this.#becomeAvailable();
    if (this.activeStreams >= this.maxStreams) this.#wasFull = true;
  }

  protected onDrainAcknowledged(): void {
    // Only servers drain in two steps.
  }

  protected afterStream(_stream: Http2Stream): void {
    if (this.activeStreams === 0) this.idleSinceMs = this.nowMs;
    if (this.#isRetired) this.#closeWhenDone();
    else if (this.#wasFull && this.isAvailable) this.#becomeAvailable();
  }

  protected onHeaders(
    id: number,
    isEnd: boolean,
    _dependsOnSelf: boolean,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const block = makeBlockFor(end - start);
    if (!this.decoder.decode(bytes, start, end, block))
      return this.connectionError(H2_ERROR.COMPRESSION_ERROR, "a header block that is no HPACK");
    const stream = this.streams.get(id);
    if (stream === undefined) {
      if (this.isIdle(id)) this.connectionError(H2_ERROR.PROTOCOL_ERROR, "HEADERS on a stream that was never opened");
      else if (!this.closed.wasResetByUs(id)) this.writeReset(id, H2_ERROR.STREAM_CLOSED);
      this.countsAsFlood();
      return;
    }
    if (stream.isRemoteClosed) return this.streamError(stream, H2_ERROR.STREAM_CLOSED, "HEADERS after END_STREAM");
    if (this.decoder.facts.isTooLarge)
      return this.streamError(stream, H2_ERROR.ENHANCE_YOUR_CALM, "The response's headers are above the limit");
    if (stream.isHeadReceived) this.#onTrailers(stream, isEnd, block);
    else this.#onResponse(stream, isEnd, block);
  }

  #onResponse(stream: Http2Stream, isEnd: boolean, block: HeaderBlock): void {
    const facts = this.decoder.facts;
    const status = facts.status;
    let problem = checkResponse(facts);
    if (status < 200 && isEnd) problem = "an informational response that ends the stream";
    const hasBody = stream.kind === KIND_PLAIN && status !== 204 && status !== 304;
    if (hasBody && isEnd && facts.contentLength > 0) problem = "a body shorter than content-length says";
    if (problem !== "")
      return this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, `The response is malformed: ${problem}`);
    if (status < 200) {
      if (this.countsAsFlood()) return;
      stream.handler?.onInformational(block);
      return;
    }
    stream.isHeadReceived = true;
    stream.isRemoteClosed = isEnd;
    if (stream.kind >= KIND_CONNECT && status < 300) {
      if (stream.kind === KIND_WEBSOCKET) toUpgradeResponse(block, stream.webSocketKey);
    } else if (stream.kind === KIND_HEAD || status === 204 || status === 304) stream.contentLeft = 0;
    else stream.contentLeft = facts.contentLength;
    stream.handler?.onHead(block, isEnd);
    if (isEnd && stream.isLocalClosed && !stream.isOver) this.finish(stream);
  }

  #onTrailers(stream: Http2Stream, isEnd: boolean, block: HeaderBlock): void {
    let problem = isEnd ? checkTrailers(this.decoder.facts) : "HEADERS in the middle of a response";
    if (stream.contentLeft > 0) problem = "a body shorter than content-length says";
    if (problem !== "")
      return this.streamError(stream, H2_ERROR.PROTOCOL_ERROR, `The response is malformed: ${problem}`);
    stream.isRemoteClosed = true;
    stream.handler?.onTrailers(block);
    if (stream.isLocalClosed && !stream.isOver) this.finish(stream);
  }

  #writeHead(stream: Http2Stream, head: HeaderBlock, end: boolean): void {
    const id = this.#nextStreamId;
    this.#nextStreamId += 2;
    this.#opening--;
    stream.id = id;
    stream.isHeadSent = true;
    // Data may have been buffered while the head was held.
    stream.sendWindow = this.peer.initialWindowBytes;
    this.streams.add(stream);
    this.guard.countStream();
    this.guard.countWork();
    const { bytesFlushed } = this.host.out;
    if (this.#firstUnsentId === 0 || bytesFlushed !== this.#flushedBytes) {
      this.#flushedBytes = bytesFlushed;
      this.#firstUnsentId = id;
    }
    this.sender.writeHeaders(stream, withAuthority(head), end, true);
    if (this.#nextStreamId > MAX_STREAM_ID) this.#retire();
  }

  #refuseConnect(stream: Http2Stream): void {
    this.#failLater(stream, connectRefused());
  }

  /** Told in a turn of its own: a handler hears nothing from within its own call. */
  #failLater(stream: Http2Stream, error: StreamError): void {
    stream.isHeld = true;
    this.clock.setTimer(0, () => {
      if (!stream.isOver) this.#failHeld(stream, error);
    });
  }

  #failHeld(stream: Http2Stream, error: StreamError): void {
    this.#opening--;
    this.forget(stream, true);
    stream.handler?.onReset(error);
    this.afterStream(stream);
  }

  #failAbove(lastStreamId: number, error: StreamError): void {
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId || stream.isOver) continue;
      this.forget(stream, true);
      stream.handler?.onReset(error);
    }
  }

  /** Streams of which nothing has left the outbox: the peer provably knows nothing of them, and must not learn of them now. */
  #failUnsent(error: StreamError): void {
    const { out } = this.host;
    if (this.#firstUnsentId === 0 || out.bytesFlushed !== this.#flushedBytes || out.position === 0) return;
    out.discard();
    this.#failAbove(this.#firstUnsentId - 1, { ...error, isUnprocessed: true });
  }

  #becomeAvailable(): void {
    this.#wasFull = false;
    this.#handler.onAvailable();
  }

  #tellPeerClosed(): void {
    if (this.#isRetired) return;
    for (const stream of this.streams.all()) if (stream.isHeadReceived) return;
    this.#handler.onPeerClosed?.();
  }

  #retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.isDraining = true;
    this.#handler.onRetired();
  }

  #closeWhenDone(): void {
    if (this.activeStreams === 0) this.closeCleanly();
  }
}

function connectRefused(): StreamError {
  return makeStreamError(
    "us",
    "stream",
    H2_ERROR.HTTP_1_1_REQUIRED,
    "The peer does not take extended CONNECT (RFC 8441)",
    true,
  );
}

/** A request from HTTP/1 may name its host by `host` alone; HTTP/2 wants `:authority`. */
function withAuthority(head: HeaderBlock): HeaderBlock {
  if (head.has(":authority")) return head;
  const host = head.get("host");
  if (host === undefined) return head;
  const request = head.clone();
  request.delete("host");
  request.add(":authority", host);
  return request;
}
