// One HTTP/2 stream: its state, windows, and what waits for them. The connection does the work; this is what it remembers.
import { ByteQueue } from "#lib/byte-queue.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import type { StreamError } from "#lib/http/stream-error.ts";

/** What a stream asks of its connection. */
export interface StreamOwner {
  sendInformational(stream: Http2Stream, head: HeaderBlock): void;
  sendHead(stream: Http2Stream, head: HeaderBlock, end: boolean): void;
  sendData(stream: Http2Stream, bytes: Buffer, start: number, end: number, last: boolean): boolean;
  sendTrailers(stream: Http2Stream, trailers: HeaderBlock): void;
  resetByUser(stream: Http2Stream, error: StreamError): void;
  consumed(stream: Http2Stream, bytes: number): void;
  exceededLimit(head: HeaderBlock): number | undefined;
}

/** What is known of how a message is to be read: 0 = nothing special. */
export const KIND_PLAIN = 0;
/** The answer to HEAD: a length without a body. */
export const KIND_HEAD = 1;
/** CONNECT: after 2xx the stream is a tunnel. */
export const KIND_CONNECT = 2;
/** A WebSocket in an extended CONNECT, shown as an HTTP/1.1 upgrade (RFC 8441). */
export const KIND_WEBSOCKET = 3;

/*
 * RFC 9113 §5.1, from our side: a stream is made when its HEADERS come or go, and forgotten when both sides are closed.
 *
 *                 isLocalClosed: we sent END_STREAM          \
 *     open  ->                                                 ->  isOver: both, or reset
 *                 isRemoteClosed: the peer sent END_STREAM   /
 */
export class Http2Stream implements HttpStream {
  readonly #owner: StreamOwner;
  /** 0 = not opened on the wire yet. */
  id: number;
  handler: StreamHandler | undefined = undefined;
  kind = KIND_PLAIN;
  isHeadSent = false;
  isHeadReceived = false;
  isLocalClosed = false;
  isRemoteClosed = false;
  isOver = false;
  /** Its user is done with it; it is reset when what is buffered has been sent. */
  isLeaving = false;
  /** The head waits for the peer's SETTINGS; nothing else may go out. */
  isHeld = false;
  /** Octets of content still promised by content-length; -1 = it said nothing. */
  contentLeft = -1;
  sendWindow: number;
  receiveWindow: number;
  /** Received and not yet passed on. */
  unconsumed = 0;
  /** Passed on and not yet told to the peer. */
  credit = 0;
  readonly createdMs: number;
  /** What follows the buffered bytes: the end, or trailers. */
  endsAfterBuffer = false;
  /** How much was buffered when a complete message was last looked at; -1 = not yet. */
  flushMark = -1;
  trailers: HeaderBlock | undefined = undefined;
  /** `sendData` has answered false. */
  isWaiting = false;
  /** In the round of streams that could send if the connection let them. */
  isQueued = false;
  next: Http2Stream | undefined = undefined;
  /** For an extended CONNECT of ours or the peer's: the Sec-WebSocket-Key; "" = there was none. */
  webSocketKey = "";
  #buffered: ByteQueue | undefined = undefined;

  constructor(owner: StreamOwner, id: number, sendWindow: number, receiveWindow: number, createdMs: number) {
    this.#owner = owner;
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.createdMs = createdMs;
  }

  sendInformational(head: HeaderBlock): void {
    this.#owner.sendInformational(this, head);
  }

  sendHead(head: HeaderBlock, end: boolean): void {
    this.#owner.sendHead(this, head, end);
  }

  exceededLimit(head: HeaderBlock): number | undefined {
    return this.#owner.exceededLimit(head);
  }

  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    return this.#owner.sendData(this, bytes, start, end, last);
  }

  sendTrailers(trailers: HeaderBlock): void {
    this.#owner.sendTrailers(this, trailers);
  }

  reset(error: StreamError): void {
    this.#owner.resetByUser(this, error);
  }

  consumed(bytes: number): void {
    this.#owner.consumed(this, bytes);
  }

  /** What waits to be sent. */
  get bufferedBytes(): number {
    return this.#buffered === undefined ? 0 : this.#buffered.length;
  }

  /** Keeps a copy for later. */
  buffer(bytes: Buffer, start: number, end: number): void {
    if (end === start) return;
    this.#buffered ??= new ByteQueue();
    this.#buffered.push(bytes, start, end);
  }

  /** Moves so many of the buffered bytes to `target`. */
  unbuffer(target: Buffer, at: number, bytes: number): void {
    this.#buffered?.shift(target, at, bytes);
  }

  dropBuffer(): void {
    this.#buffered?.clear();
  }
}

/** The round of streams with something to send, oldest first. */
export class SendRound {
  #first: Http2Stream | undefined = undefined;
  #last: Http2Stream | undefined = undefined;

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  push(stream: Http2Stream): void {
    if (stream.isQueued) return;
    stream.isQueued = true;
    stream.next = undefined;
    if (this.#last === undefined) this.#first = stream;
    else this.#last.next = stream;
    this.#last = stream;
  }

  shift(): Http2Stream | undefined {
    const stream = this.#first;
    if (stream === undefined) return undefined;
    this.#first = stream.next;
    if (this.#first === undefined) this.#last = undefined;
    stream.next = undefined;
    stream.isQueued = false;
    return stream;
  }
}
