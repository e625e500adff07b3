// The server side of an HTTP/1 connection: one request at a time, however many the client has sent ahead.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { ServerCodec, ServerHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { Carry } from "./carry.ts";
import { CLOSED, Http1Connection } from "./connection.ts";
import { INCOMPLETE, REFUSED } from "./field-scan.ts";
import { type Http1Host, READ_HIGH_WATER, READ_LOW_WATER } from "./host.ts";
import { writeRefusal } from "./refusal.ts";
import { RequestHead } from "./request-head.ts";
import { HTTP1_SERVER_DEFAULTS, type Http1ServerOptions } from "./server-options.ts";
import { ServerStream, type StreamOwner } from "./server-stream.ts";
import { makeViolation, toStreamError, type Violation } from "./violation.ts";

const EMPTY = Buffer.alloc(0);

const HEAD = 0;
const BODY = 1;
/** The request is complete, its answer is not: what comes now is the next request, and waits. */
const WAIT = 2;
/** An upgrade or CONNECT is not answered yet: what comes now is the tunnel's, or nobody's. */
const TUNNEL_WAIT = 3;
const TUNNEL = 4;

/** Held bytes above which the socket is not read. */
const MAX_HELD = 16 * 1024;
/** What is read and dropped of a request whose answer is already complete, so that the connection can be kept. */
const MAX_DISCARD = 256 * 1024;

/**
 *     HEAD -> BODY -> WAIT -> HEAD ...            (BODY, WAIT are left out where there is nothing to wait for)
 *     HEAD -> TUNNEL_WAIT -> TUNNEL -> CLOSED     (101, or 2xx to CONNECT; any other answer: -> HEAD or CLOSED)
 */
export class Http1Server extends Http1Connection<ServerStream, Http1ServerOptions> implements ServerCodec, StreamOwner {
  readonly #handler: ServerHandler;
  readonly #head = new RequestHead();
  #isRequestDone = false;
  #isResponseDone = false;
  #requests = 0;
  #discarded = 0;
  #held: Buffer | undefined = undefined;
  #hasWriteEnded = false;

  constructor(host: Http1Host, handler: ServerHandler, options: Partial<Http1ServerOptions> = {}) {
    super(host, { ...HTTP1_SERVER_DEFAULTS, ...options }, HEAD);
    this.#handler = handler;
  }

  get keepAlive(): string {
    return this.options.keepAlive;
  }

  /** A head has begun and is not complete: what a limit on slow heads looks at. */
  get isReadingHead(): boolean {
    return this.carry !== undefined;
  }

  /** The head took too long: 408 and the end (RFC 9110 §15.5.9). */
  refuseSlowHead(): void {
    this.#refuse(makeViolation(408, "the request head took too long"));
  }

  receive(bytes: Buffer, start: number, end: number): void {
    if (this.#held !== undefined) this.#hold(bytes, start, end);
    else this.#process(bytes, start, end);
  }

  receiveEnd(): void {
    this.hasPeerEnded = true;
    switch (this.phase) {
      case HEAD:
        if (this.#held === undefined) this.close(undefined);
        break;
      case BODY:
        this.#abort(leftError("in the middle of its request"));
        break;
      // A client that half-closes cannot be told from one that has closed, and far more do that: the upstream must not go on
      // working for nobody (Envoy and nginx do the same).
      case WAIT:
      case TUNNEL_WAIT:
        this.#abort(leftError("before it had its answer"));
        break;
      case TUNNEL:
        if (this.#held === undefined) this.#endTunnelRead();
        break;
      default:
        break;
    }
  }

  connectionLost(error: StreamError): void {
    if (this.phase === CLOSED && this.current === undefined) return;
    this.phase = CLOSED;
    this.#resetCurrent(error);
  }

  onSocketDrain(): void {
    const stream = this.current;
    if (stream === undefined || !stream.needsDrain) return;
    stream.needsDrain = false;
    stream.handler?.onDrain();
  }

  /** The next answer is the last one; until then an idle connection stays open, since a request may be on its way. */
  retire(): void {
    this.isDraining = true;
  }

  drain(): void {
    this.isDraining = true;
    const stream = this.current;
    if (stream === undefined) {
      if (this.#held === undefined) this.close(undefined);
    }
    // Of a request that is answered already the rest is nobody's.
    else if (this.phase === BODY && this.#isResponseDone) this.#nextRequest(stream);
  }

  // From the stream.

  mustClose(stream: ServerStream): boolean {
    if (this.isDraining || this.hasPeerEnded) return true;
    if (this.options.maxRequests > 0 && this.#requests >= this.options.maxRequests) return true;
    // Bytes sent ahead of an answer that then refuses the tunnel are nobody's; they must not be read as a request.
    if (this.phase === TUNNEL_WAIT) return stream.facts.isConnect || this.#held !== undefined;
    return stream.facts.expectsContinue && !stream.hasContinued && !this.#isRequestDone;
  }

  onTunnel(stream: ServerStream): void {
    if (stream !== this.current) return;
    this.phase = TUNNEL;
    if (this.#held !== undefined) this.#resumeLater();
    else if (this.hasPeerEnded) queueMicrotask(() => this.#endTunnelRead());
  }

  onTunnelEnd(stream: ServerStream): void {
    if (stream !== this.current) return;
    this.#hasWriteEnded = true;
    if (this.#isRequestDone || this.host.endWriting === undefined) this.finishTunnel();
    else this.host.endWriting();
  }

  onResponseDone(stream: ServerStream): void {
    if (stream !== this.current) return;
    this.#isResponseDone = true;
    if (this.phase === TUNNEL_WAIT) this.#endRefusedTunnel(stream);
    else if (this.#isRequestDone) this.#nextRequest(stream);
    else if (stream.willClose) this.#nextRequest(stream);
    else this.setReading(true);
  }

  onReset(stream: ServerStream, error: StreamError): void {
    if (stream !== this.current || stream.isOver) return;
    stream.isOver = true;
    // The answer went out whole; the rest of the request is dropped.
    if (this.#isResponseDone) return;
    this.current = undefined;
    this.close(error);
  }

  onConsumed(stream: ServerStream, bytes: number): void {
    if (stream !== this.current) return;
    stream.unconsumed -= bytes;
    if (stream.unconsumed <= READ_LOW_WATER && this.phase !== WAIT && this.phase !== TUNNEL_WAIT) {
      this.setReading(true);
    }
  }

  // From the body reader.

  onBodyData(bytes: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.current;
    if (stream === undefined) return;
    if (last) this.#endRequest();
    if (!stream.isOver) {
      stream.unconsumed += end - start;
      stream.handler?.onData(bytes, start, end, last);
    }
    this.#afterBody(stream, end - start);
  }

  onBodyTrailers(trailers: HeaderBlock): void {
    const stream = this.current;
    if (stream === undefined) return;
    this.#endRequest();
    if (!stream.isOver) {
      if (this.options.enableTrailers) stream.handler?.onTrailers(trailers);
      else stream.handler?.onData(EMPTY, 0, 0, true);
    }
    this.#afterBody(stream, 0);
  }

  onBodyViolation(violation: Violation): void {
    this.#refuse(violation);
  }

  #process(bytes: Buffer, start: number, end: number): void {
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
          if (!this.#isRequestDone) this.readTunnel(bytes, p, end);
          p = end;
          break;
        case CLOSED:
          p = end;
          break;
        default:
          this.#hold(bytes, p, end);
          p = end;
      }
    }
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    let carry = this.carry;
    if (carry === undefined) {
      // What is beyond the limit need not be looked at to be refused.
      const limit = Math.min(end, start + this.options.maxHeadBytes + 1);
      const behind = this.#head.read(bytes, start, limit, this.options);
      if (behind >= 0) {
        this.#startRequest();
        return behind;
      }
      if (behind === REFUSED) return this.#refuseHead(end);
      carry = new Carry();
      this.carry = carry;
    }
    const behind = carry.feed(bytes, start, end);
    if (carry.length > this.options.maxHeadBytes) {
      this.#refuse(makeViolation(431, `a request head larger than ${this.options.maxHeadBytes} bytes`));
      return end;
    }
    if (!carry.isWorthParsing) return behind;
    const result = this.#head.read(carry.buffer, 0, carry.length, this.options);
    if (result === INCOMPLETE) return behind;
    this.carry = undefined;
    if (result === REFUSED) return this.#refuseHead(end);
    this.#startRequest();
    return behind;
  }

  #refuseHead(end: number): number {
    this.#refuse(this.#head.violation ?? makeViolation(400, "an invalid request head"));
    return end;
  }

  #startRequest(): void {
    const head = this.#head;
    const { fields, line } = head;
    const block = head.takeBlock();
    const isWebsocket = head.upgrade !== undefined && head.upgrade.toLowerCase() === "websocket";
    const stream = new ServerStream(this, {
      isHead: line.method === "HEAD",
      isConnect: line.method === "CONNECT",
      isHttp10: line.minorVersion === 0,
      isPersistent: !fields.hasClose && (line.minorVersion === 1 || fields.hasKeepAlive),
      acceptsTrailers: fields.acceptsTrailers,
      expectsContinue: fields.expectsContinue,
      upgrade: head.upgrade,
      websocketKey: isWebsocket ? block.get("sec-websocket-key") : undefined,
    });
    this.current = stream;
    this.#requests++;
    this.#discarded = 0;
    this.#isResponseDone = false;
    this.#isRequestDone = head.body === "none";
    if (head.body === "none") this.phase = WAIT;
    else if (head.body === "tunnel") this.phase = TUNNEL_WAIT;
    else {
      this.phase = BODY;
      if (head.body === "chunked") this.body.startChunked();
      else this.body.startLength(fields.contentLength);
    }
    const isOnlyHead = this.#isRequestDone;
    stream.handler = this.#handler.onStream(stream);
    if (!stream.isOver) stream.handler.onHead(block, isOnlyHead);
  }

  #endRequest(): void {
    this.#isRequestDone = true;
    this.phase = WAIT;
  }

  #afterBody(stream: ServerStream, length: number): void {
    if (stream !== this.current) return;
    if (!this.#isResponseDone) {
      if (stream.unconsumed > READ_HIGH_WATER && !stream.isOver) this.setReading(false);
      return;
    }
    this.#discarded += length;
    if (this.#isRequestDone) this.#nextRequest(stream);
    else if (this.#discarded > MAX_DISCARD) {
      stream.willClose = true;
      this.#nextRequest(stream);
    }
  }

  /** Answer and request are over, or what is left of the request is not worth waiting for. */
  #nextRequest(stream: ServerStream): void {
    stream.isOver = true;
    this.current = undefined;
    const isLast = stream.willClose || this.isDraining || (this.hasPeerEnded && this.#held === undefined);
    if (isLast) {
      this.close(undefined);
      return;
    }
    this.phase = HEAD;
    if (this.#held !== undefined) this.#resumeLater();
    else this.setReading(true);
  }

  /** The request had no body, and becomes no tunnel. */
  #endRefusedTunnel(stream: ServerStream): void {
    this.#isRequestDone = true;
    queueMicrotask(() => {
      if (stream !== this.current) return;
      if (!stream.isOver) stream.handler?.onData(EMPTY, 0, 0, true);
      if (stream === this.current) this.#nextRequest(stream);
    });
  }

  #endTunnelRead(): void {
    const stream = this.current;
    if (stream === undefined || this.#isRequestDone) return;
    this.#isRequestDone = true;
    stream.handler?.onData(EMPTY, 0, 0, true);
    if (this.#hasWriteEnded) this.finishTunnel();
  }

  #hold(bytes: Buffer, start: number, end: number): void {
    const fresh = bytes.subarray(start, end);
    this.#held = this.#held === undefined ? Buffer.from(fresh) : Buffer.concat([this.#held, fresh]);
    if (this.#held.length > MAX_HELD) this.setReading(false);
  }

  /** Not from within a send of the exchange before; within the same turn. */
  #resumeLater(): void {
    queueMicrotask(() => {
      const held = this.#held;
      if (held === undefined || this.phase === WAIT || this.phase === TUNNEL_WAIT) return;
      this.#held = undefined;
      this.#process(held, 0, held.length);
      if (this.#held !== undefined) return;
      if (this.phase === HEAD) {
        this.setReading(true);
        if (this.hasPeerEnded) this.close(undefined);
      } else if (this.phase === TUNNEL) {
        const stream = this.current;
        if (stream !== undefined && stream.unconsumed <= READ_HIGH_WATER) this.setReading(true);
        if (this.hasPeerEnded) this.#endTunnelRead();
      } else if (this.phase === BODY) {
        if (this.hasPeerEnded) this.receiveEnd();
        else this.setReading((this.current?.unconsumed ?? 0) <= READ_HIGH_WATER);
      } else if (this.phase === WAIT) this.setReading(true);
    });
  }

  /** A message of the client that two parsers could read differently: 400 (or what the violation says), and the end. */
  #refuse(violation: Violation): void {
    if (this.phase === CLOSED) return;
    const error = toStreamError("HTTP/1 request refused", violation);
    const stream = this.current;
    if (stream === undefined || (!stream.hasHead && !stream.isOver)) writeRefusal(this.host.out, violation);
    this.#abort(error);
  }

  #abort(error: StreamError): void {
    const wasClosed = this.phase === CLOSED;
    this.phase = CLOSED;
    this.#resetCurrent(error);
    if (!wasClosed) this.shut(error);
  }

  #resetCurrent(error: StreamError): void {
    const stream = this.current;
    this.current = undefined;
    if (stream === undefined || stream.isOver) return;
    stream.isOver = true;
    if (!(this.#isRequestDone && this.#isResponseDone)) stream.handler?.onReset(error);
  }

  protected override shut(error: StreamError | undefined): void {
    this.#held = undefined;
    super.shut(error);
  }
}

function leftError(when: string): StreamError {
  return makeStreamError("peer", "connection", H2_ERROR.CANCEL, `The client closed the connection ${when}`);
}
