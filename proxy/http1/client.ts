// The client side of an HTTP/1 connection: one request at a time, and a clear word on whether another may follow.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { ClientCodec, ClientHandler, HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { Carry } from "./carry.ts";
import { HTTP1_CLIENT_DEFAULTS, type Http1ClientOptions } from "./client-options.ts";
import { ClientStream, type ClientStreamOwner } from "./client-stream.ts";
import { CLOSED, Http1Connection } from "./connection.ts";
import { INCOMPLETE, REFUSED } from "./field-scan.ts";
import { type Http1Host, READ_HIGH_WATER, READ_LOW_WATER } from "./host.ts";
import { ResponseHead } from "./response-head.ts";
import { toStreamError, type Violation } from "./violation.ts";

const EMPTY = Buffer.alloc(0);

const IDLE = 0;
const HEAD = 1;
const BODY = 2;
const TUNNEL = 3;
/** The answer is complete, the request is not. */
const REQUEST = 4;

/** A server that sends more interim answers than this to one request is up to something. */
const MAX_INFORMATIONAL = 64;

/**
 *     IDLE -open-> HEAD -> BODY -> IDLE          (or REQUEST before IDLE: an early answer)
 *                  HEAD -> TUNNEL -> CLOSED      (101, or 2xx to CONNECT)
 */
export class Http1Client
  extends Http1Connection<ClientStream, Http1ClientOptions>
  implements ClientCodec, ClientStreamOwner
{
  readonly maxStreams = 1;
  readonly isSettled = true;
  readonly idleSinceMs = 0;
  /** What the server said in `Keep-Alive: timeout`, in ms; -1 = nothing. A pool must stop using the connection before. */
  keepAliveTimeoutMs = -1;
  /** Requests after which the server closes, by `Keep-Alive: max`. */
  #announcedRequests = Infinity;
  readonly #handler: ClientHandler;
  readonly #head = new ResponseHead();
  #requests = 0;
  #informational = 0;
  #isRetired = false;
  /** Any byte of the answer to the running request has come. */
  #hasAnswerBegun = false;

  constructor(host: Http1Host, handler: ClientHandler, options: Partial<Http1ClientOptions> = {}) {
    super(host, { ...HTTP1_CLIENT_DEFAULTS, ...options }, IDLE);
    this.#handler = handler;
  }

  get isAvailable(): boolean {
    return this.phase === IDLE && !this.#isRetired;
  }

  open(handler: StreamHandler): HttpStream {
    if (!this.isAvailable) throw new Error("Cannot open a stream: the HTTP/1 connection is busy or retired");
    const stream = new ClientStream(this, handler);
    this.current = stream;
    this.phase = HEAD;
    this.#hasAnswerBegun = false;
    this.#informational = 0;
    this.#requests++;
    const { maxRequests } = this.options;
    if ((maxRequests > 0 && this.#requests >= maxRequests) || this.#requests >= this.#announcedRequests) this.#retire();
    return stream;
  }

  receive(bytes: Buffer, start: number, end: number): void {
    let p = start;
    while (p < end) {
      switch (this.phase) {
        case HEAD:
          p = this.#readHead(bytes, p, end);
          break;
        case BODY:
          p = this.body.read(bytes, p, end);
          break;
        case TUNNEL:
          this.readTunnel(bytes, p, end);
          return;
        case CLOSED:
          return;
        default:
          this.#refuseExcess();
          return;
      }
    }
  }

  receiveEnd(): void {
    this.hasPeerEnded = true;
    this.#tellPeerClosed();
    this.#retire();
    switch (this.phase) {
      case CLOSED:
        return;
      case IDLE:
      case REQUEST:
        this.#abort(lostError("The server closed the connection"));
        return;
      case TUNNEL:
        this.#endTunnelRead();
        return;
      case BODY:
        if (this.body.isUntilClose) {
          this.body.stop();
          this.onBodyData(EMPTY, 0, 0, true);
          if (this.phase === BODY) this.#endResponse();
          return;
        }
        this.#abort(lostError("The server closed the connection in the middle of its answer"));
        return;
      default:
        this.#abort(lostError("The server closed the connection before it answered"));
    }
  }

  connectionLost(error: StreamError): void {
    this.#tellPeerClosed();
    this.#retire();
    if (this.phase === CLOSED && this.current === undefined) return;
    this.phase = CLOSED;
    this.#resetCurrent(error);
  }

  onSocketDrain(): void {
    const stream = this.current;
    if (stream === undefined || !stream.needsDrain || stream.hasEarlyData) return;
    stream.needsDrain = false;
    stream.handler.onDrain();
  }

  drain(): void {
    this.isDraining = true;
    this.#retire();
    if (this.phase === IDLE) this.close(undefined);
  }

  // From the stream.

  onRequestDone(stream: ClientStream): void {
    if (stream !== this.current) return;
    if (stream.isTunnel) {
      if (this.hasPeerEnded || this.host.endWriting === undefined) this.finishTunnel();
      else this.host.endWriting();
    } else if (this.phase === REQUEST) this.#finish();
  }

  onReset(stream: ClientStream, error: StreamError): void {
    if (stream !== this.current || stream.isOver) return;
    stream.isOver = true;
    this.current = undefined;
    if (!stream.hasHead && this.phase === HEAD && !this.#isRetired) {
      // Nothing was sent: the connection is as good as before.
      this.phase = IDLE;
      this.#handler.onAvailable();
      return;
    }
    this.#retire();
    this.close(error);
  }

  onConsumed(stream: ClientStream, bytes: number): void {
    if (stream !== this.current) return;
    stream.unconsumed -= bytes;
    if (stream.unconsumed <= READ_LOW_WATER) this.setReading(true);
  }

  // From the body reader.

  onBodyData(bytes: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.current;
    if (stream === undefined) return;
    stream.unconsumed += end - start;
    if (last) this.#endResponse();
    stream.handler.onData(bytes, start, end, last);
    // After the last byte nobody would begin to read again: the next exchange finds the connection as it is left here.
    if (!last && stream === this.current && stream.unconsumed > READ_HIGH_WATER) this.setReading(false);
  }

  onBodyTrailers(trailers: HeaderBlock): void {
    const stream = this.current;
    if (stream === undefined) return;
    this.#endResponse();
    if (this.options.enableTrailers) stream.handler.onTrailers(trailers);
    else stream.handler.onData(EMPTY, 0, 0, true);
  }

  onBodyViolation(violation: Violation): void {
    this.#refuse(violation);
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const stream = this.current;
    if (stream === undefined || !stream.hasHead) {
      this.#refuseExcess();
      return end;
    }
    this.#hasAnswerBegun = true;
    let carry = this.carry;
    if (carry === undefined) {
      const behind = this.#head.read(bytes, start, end, stream, this.options);
      if (behind >= 0) {
        this.#startResponse(stream);
        return behind;
      }
      if (behind === REFUSED) {
        this.#refuse(this.#head.violation);
        return end;
      }
      carry = new Carry();
      this.carry = carry;
    }
    const behind = carry.feed(bytes, start, end);
    const isTooLarge = carry.length > this.options.maxHeadBytes;
    if (!carry.isWorthParsing && !isTooLarge) return behind;
    const result = this.#head.read(carry.buffer, 0, carry.length, stream, this.options);
    if (result === INCOMPLETE && !isTooLarge) return behind;
    this.carry = undefined;
    if (result < 0) {
      this.#refuse(this.#head.violation);
      return end;
    }
    this.#startResponse(stream);
    return behind;
  }

  #startResponse(stream: ClientStream): void {
    const head = this.#head;
    const { fields, line } = head;
    const block = head.takeBlock();
    if (head.isInformational) {
      if (++this.#informational > MAX_INFORMATIONAL) this.#refuse({ status: 502, detail: "too many interim answers" });
      else stream.handler.onInformational(block);
      return;
    }
    if (fields.keepAliveTimeout >= 0) this.keepAliveTimeoutMs = fields.keepAliveTimeout * 1000;
    if (fields.keepAliveMax > 0) this.#takeMax(fields.keepAliveMax);
    const isPersistent = !fields.hasClose && (line.minorVersion === 1 || fields.hasKeepAlive);
    const isLastByKeepAlive = fields.keepAliveMax === 0 || fields.keepAliveTimeout === 0;
    if (!isPersistent || isLastByKeepAlive || head.body === "until-close") this.#retire();
    const isTunnelRequest = stream.isConnect || stream.upgrade !== undefined;
    if (head.body === "tunnel") {
      this.#retire();
      this.phase = TUNNEL;
      stream.handler.onHead(block, false);
      if (stream === this.current) stream.openTunnel();
      return;
    }
    if (isTunnelRequest) {
      // What was sent ahead would be read as a request by some servers; and CONNECT refused leaves nothing to keep.
      if (stream.isConnect) this.#retire();
      stream.refuseTunnel();
    }
    this.phase = BODY;
    switch (head.body) {
      case "none":
        this.#endResponse();
        break;
      case "length":
        this.body.startLength(fields.contentLength);
        break;
      case "chunked":
        this.body.startChunked();
        break;
      case "until-close":
        this.body.startUntilClose();
        break;
    }
    stream.handler.onHead(block, head.body === "none");
  }

  /**
   * The answer is complete. The connection is free only after this turn's callbacks: the pool must not open a stream from
   * within the old one's last `onData`.
   */
  #endResponse(): void {
    this.phase = REQUEST;
    this.setReading(true);
    if (this.current?.isRequestDone === true) queueMicrotask(() => this.#finish());
    // Servers that answer early mostly close; nobody may wait for this connection.
    else this.#retire();
  }

  #finish(): void {
    const stream = this.current;
    if (stream === undefined || this.phase !== REQUEST) return;
    stream.isOver = true;
    this.current = undefined;
    if (this.#isRetired) {
      this.close(undefined);
      return;
    }
    this.phase = IDLE;
    this.#handler.onAvailable();
  }

  #endTunnelRead(): void {
    const stream = this.current;
    if (stream === undefined) return;
    stream.handler.onData(EMPTY, 0, 0, true);
    if (stream.isRequestDone) this.finishTunnel();
  }

  /** Bytes that nobody asked for: whatever they are, the next answer must not be mistaken for them. */
  #refuseExcess(): void {
    this.#retire();
    if (this.phase === REQUEST) {
      // The answer before was whole; only the connection is of no use.
      if (this.current?.isRequestDone === true) this.#finish();
      if (this.phase !== REQUEST) return;
    }
    this.#abort(lostError("The server sent bytes that belong to no answer"));
  }

  #refuse(violation: Violation | undefined): void {
    if (this.phase === CLOSED) return;
    this.#retire();
    this.#abort(toStreamError("HTTP/1 answer refused", violation ?? { status: 502, detail: "an invalid head" }));
  }

  #abort(error: StreamError): void {
    const wasClosed = this.phase === CLOSED;
    const isUnsent = this.#isUnsent();
    this.phase = CLOSED;
    this.#resetCurrent(error, isUnsent);
    // What is in the outbox belongs to a request that was given up, and may be sent elsewhere now.
    if (isUnsent) this.host.out.discard();
    if (!wasClosed) this.shut(error);
  }

  /** The server provably knows nothing of the running request (contracts.md: retries). */
  #isUnsent(): boolean {
    return this.current !== undefined && !this.#hasAnswerBegun && this.current.isUnsent;
  }

  #resetCurrent(error: StreamError, isUnsent = this.#isUnsent()): void {
    const stream = this.current;
    this.current = undefined;
    if (stream === undefined || stream.isOver) return;
    stream.isOver = true;
    stream.handler.onReset(
      isUnsent ? makeStreamError(error.origin, error.scope, error.code, error.message, true, error.status) : error,
    );
  }

  /** Some servers count it down (Apache), others always say the total (Node): the first value is good for both. */
  #takeMax(max: number): void {
    const total = this.#requests === 1 ? max : this.#requests + max;
    this.#announcedRequests = Math.min(this.#announcedRequests, total);
    if (this.#requests >= this.#announcedRequests) this.#retire();
  }

  #tellPeerClosed(): void {
    const isUnanswered = this.phase === IDLE || (this.phase === HEAD && !this.#hasAnswerBegun);
    if (isUnanswered && !this.#isRetired) this.#handler.onPeerClosed?.();
  }

  #retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#handler.onRetired();
  }
}

function lostError(message: string): StreamError {
  return makeStreamError("peer", "connection", H2_ERROR.CANCEL, message);
}
