// One request's answer on an HTTP/1 connection: framing, persistence, switching to a tunnel.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { writeBytes } from "#lib/http/outbox.ts";
import type { HttpStream, Outbox, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { BodyWriter, BY_LENGTH, CHUNKED, NO_BODY, RAW } from "./body-writer.ts";
import { contentLengthOf, writeEnd, writeFields, writeLine } from "./head-writer.ts";
import { statusLine } from "./status-line.ts";
import { websocketAccept } from "./websocket-key.ts";

/** What the connection knows of a request when its answer begins. */
export interface RequestFacts {
  readonly isHead: boolean;
  readonly isConnect: boolean;
  readonly isHttp10: boolean;
  /** The client wants the connection to stay. */
  readonly isPersistent: boolean;
  readonly acceptsTrailers: boolean;
  readonly expectsContinue: boolean;
  readonly upgrade: string | undefined;
  readonly websocketKey: string | undefined;
}

/** The connection as its stream sees it. */
export interface StreamOwner {
  readonly out: Outbox;
  readonly bufferLimitBytes: number;
  readonly enableTrailers: boolean;
  /** The value of Keep-Alive; "" = none is sent. */
  readonly keepAlive: string;
  /** Must the answer say that the connection closes behind it? */
  mustClose(stream: ServerStream): boolean;
  onTunnel(stream: ServerStream): void;
  /** The answer is complete. */
  onResponseDone(stream: ServerStream): void;
  onTunnelEnd(stream: ServerStream): void;
  onReset(stream: ServerStream, error: StreamError): void;
  onConsumed(stream: ServerStream, bytes: number): void;
}

export class ServerStream implements HttpStream {
  readonly facts: RequestFacts;
  handler: StreamHandler | undefined = undefined;
  hasHead = false;
  hasContinued = false;
  isTunnel = false;
  /** The answer is over, or the stream was reset: all further calls are ignored. */
  isOver = false;
  /** The connection closes behind this answer. */
  willClose = false;
  needsDrain = false;
  unconsumed = 0;
  readonly #owner: StreamOwner;
  readonly #writer = new BodyWriter();

  constructor(owner: StreamOwner, facts: RequestFacts) {
    this.#owner = owner;
    this.facts = facts;
  }

  get bufferedBytes(): number {
    return this.#owner.out.pendingBytes;
  }

  sendInformational(head: HeaderBlock): void {
    if (this.isOver || this.hasHead || this.facts.isHttp10) return;
    const status = Number(head.get(":status"));
    // 101 is a final answer here; anything above is not informational.
    if (!(status >= 100 && status < 200) || status === 101) return;
    if (status === 100) this.hasContinued = true;
    const out = this.#owner.out;
    const line = statusLine(status);
    writeBytes(out, line, 0, line.length);
    writeFields(out, head, false);
    writeEnd(out);
  }

  sendHead(head: HeaderBlock, end: boolean): void {
    if (this.isOver || this.hasHead) return;
    const status = Number(head.get(":status"));
    if (!(status >= 101 && status <= 999)) {
      this.#fail(`the answer has the status ${head.get(":status") ?? "(none)"}`);
      return;
    }
    if (status === 101 && this.facts.upgrade === undefined) {
      this.#fail("the answer is 101, but no upgrade was asked for");
      return;
    }
    this.hasHead = true;
    this.isTunnel = status === 101 || (this.facts.isConnect && status >= 200 && status < 300);
    const withLength = this.#chooseFraming(head, status, end);
    const out = this.#owner.out;
    const line = statusLine(status);
    writeBytes(out, line, 0, line.length);
    if (this.isTunnel) this.#writeTunnelFields(head, status);
    else {
      if (this.#writer.framing === RAW) this.willClose = true;
      if (!this.facts.isPersistent || this.#owner.mustClose(this)) this.willClose = true;
      writeFields(out, head, withLength);
      if (this.#writer.framing === CHUNKED) writeLine(out, "Transfer-Encoding", "chunked");
      else if (this.#writer.framing === BY_LENGTH && !withLength) writeLine(out, "Content-Length", "0");
      if (this.willClose) writeLine(out, "Connection", "close");
      else if (this.#owner.keepAlive !== "") {
        writeLine(out, "Connection", "keep-alive");
        writeLine(out, "Keep-Alive", this.#owner.keepAlive);
      } else if (this.facts.isHttp10) writeLine(out, "Connection", "keep-alive");
    }
    writeEnd(out);
    if (this.isTunnel) this.#owner.onTunnel(this);
    else if (end) this.#finish();
  }

  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.isOver || !this.hasHead || this.#writer.isDone) return true;
    const out = this.#owner.out;
    const problem = this.#writer.write(out, bytes, start, end, last);
    if (problem !== undefined) {
      this.#fail(problem);
      return true;
    }
    if (last) {
      if (this.isTunnel) this.#owner.onTunnelEnd(this);
      else this.#finish();
      return true;
    }
    if (out.pendingBytes <= this.#owner.bufferLimitBytes) return true;
    this.needsDrain = true;
    return false;
  }

  sendTrailers(trailers: HeaderBlock): void {
    if (this.isOver || !this.hasHead || this.#writer.isDone) return;
    const problem = this.#writer.writeTrailers(this.#owner.out, trailers, this.#mayHaveTrailers);
    if (problem !== undefined) this.#fail(problem);
    else if (this.isTunnel) this.#owner.onTunnelEnd(this);
    else this.#finish();
  }

  reset(error: StreamError): void {
    this.#owner.onReset(this, error);
  }

  consumed(bytes: number): void {
    this.#owner.onConsumed(this, bytes);
  }

  /** Answers whether the answer's own `content-length` is written as it stands. */
  get #mayHaveTrailers(): boolean {
    return this.facts.acceptsTrailers && this.#owner.enableTrailers && !this.facts.isHttp10;
  }

  #chooseFraming(head: HeaderBlock, status: number, end: boolean): boolean {
    const writer = this.#writer;
    if (this.isTunnel) {
      writer.start(RAW);
      return false;
    }
    const length = contentLengthOf(head);
    // RFC 9110 §8.6: a length in an answer to HEAD and in 304 says what GET would have given; 204 has none.
    if (this.facts.isHead || status === 304) {
      writer.start(NO_BODY);
      return length >= 0;
    }
    if (status === 204 || status < 200) {
      writer.start(NO_BODY);
      return false;
    }
    if (end) {
      writer.start(BY_LENGTH, 0);
      return length === 0;
    }
    // HTTP/2 has trailers behind a body of known length; here only chunks have them.
    if (length >= 0 && !(this.#mayHaveTrailers && head.has("trailer"))) {
      writer.start(BY_LENGTH, length);
      return true;
    }
    writer.start(this.facts.isHttp10 ? RAW : CHUNKED);
    return false;
  }

  #writeTunnelFields(head: HeaderBlock, status: number): void {
    const out = this.#owner.out;
    if (status !== 101) {
      writeFields(out, head, false);
      return;
    }
    const key = this.facts.websocketKey;
    const isWebsocket = this.facts.upgrade?.toLowerCase() === "websocket" && key !== undefined;
    // The hop behind us may have had a key of its own, or none (RFC 8441).
    if (isWebsocket) head.set("sec-websocket-accept", websocketAccept(key));
    writeFields(out, head, false);
    writeLine(out, "Connection", "Upgrade");
    writeLine(out, "Upgrade", this.facts.upgrade ?? "");
  }

  #finish(): void {
    this.#owner.onResponseDone(this);
  }

  /** The answer is not one that can be sent: the client must see that it is cut off. */
  #fail(problem: string): void {
    const error = makeStreamError("user", "stream", H2_ERROR.INTERNAL_ERROR, `Cannot answer over HTTP/1: ${problem}`);
    const handler = this.handler;
    this.#owner.onReset(this, error);
    // Not from within the caller's own send.
    queueMicrotask(() => handler?.onReset(error));
  }
}
