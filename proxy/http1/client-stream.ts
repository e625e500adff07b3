// One request on an HTTP/1 connection to a server: its head, its body in the right framing, its tunnel.
import type { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, Outbox, StreamHandler } from "#lib/http/stream.ts";
import { H2_ERROR, makeStreamError, type StreamError } from "#lib/http/stream-error.ts";
import { BodyWriter, BY_LENGTH, CHUNKED, NO_BODY, RAW } from "./body-writer.ts";
import { areCharacters, IS_AUTHORITY, IS_TARGET, isToken } from "./characters.ts";
import { contentLengthOf, writeEnd, writeFields, writeLine, writeText } from "./head-writer.ts";
import type { RequestTraits } from "./response-head.ts";
import { makeWebsocketKey } from "./websocket-key.ts";

/** The connection as its stream sees it. */
export interface ClientStreamOwner {
  readonly out: Outbox;
  readonly bufferLimitBytes: number;
  readonly enableTrailers: boolean;
  onRequestDone(stream: ClientStream): void;
  onReset(stream: ClientStream, error: StreamError): void;
  onConsumed(stream: ClientStream, bytes: number): void;
}

export class ClientStream implements HttpStream, RequestTraits {
  readonly handler: StreamHandler;
  isHead = false;
  isConnect = false;
  upgrade: string | undefined = undefined;
  hasHead = false;
  isRequestDone = false;
  isTunnel = false;
  isOver = false;
  needsDrain = false;
  unconsumed = 0;
  /** What had left the outbox before the request was written; -1 = the outbox was not empty. */
  readonly #flushedBefore: number;
  /** Sent ahead of the tunnel's acceptance: kept, since nothing may be sent before it. */
  #early: Buffer[] | undefined = undefined;
  #earlyEnd = false;
  readonly #owner: ClientStreamOwner;
  readonly #writer = new BodyWriter();

  constructor(owner: ClientStreamOwner, handler: StreamHandler) {
    this.#owner = owner;
    this.handler = handler;
    this.#flushedBefore = owner.out.position === 0 ? owner.out.bytesFlushed : -1;
  }

  /** Nothing of it has left the outbox: the server provably knows nothing of it. */
  get isUnsent(): boolean {
    return !this.hasHead || this.#owner.out.bytesFlushed === this.#flushedBefore;
  }

  get bufferedBytes(): number {
    return this.#owner.out.pendingBytes;
  }

  get hasEarlyData(): boolean {
    return this.#early !== undefined;
  }

  /** Requests have no interim heads. */
  sendInformational(): void {
    return;
  }

  sendHead(head: HeaderBlock, end: boolean): void {
    if (this.isOver || this.hasHead) return;
    this.hasHead = true;
    const method = head.get(":method") ?? "";
    const authority = head.get(":authority") ?? "";
    this.isConnect = method === "CONNECT";
    this.isHead = method === "HEAD";
    const target = this.isConnect ? authority : (head.get(":path") ?? "");
    const problem = findProblem(method, target, authority);
    if (problem !== undefined) {
      this.#fail(problem, 400);
      return;
    }
    const asked = method === "GET" && !end ? head.get("upgrade") : undefined;
    if (asked !== undefined && isToken(asked.replace("/", "")) && hasUpgradeOption(head)) this.upgrade = asked;
    const withLength = this.#chooseFraming(head, method, end);
    this.#writeHead(head, method, target, authority, withLength);
    if (end) this.#finish();
  }

  sendData(bytes: Buffer, start: number, end: number, last: boolean): boolean {
    if (this.isOver || !this.hasHead || this.isRequestDone) return true;
    if ((this.upgrade !== undefined || this.isConnect) && !this.isTunnel) {
      this.#early ??= [];
      this.#early.push(Buffer.from(bytes.subarray(start, end)));
      this.#earlyEnd = last;
      this.needsDrain = true;
      return false;
    }
    const out = this.#owner.out;
    const problem = this.#writer.write(out, bytes, start, end, last);
    if (problem !== undefined) {
      this.#fail(problem, 502);
      return true;
    }
    if (last) {
      this.#finish();
      return true;
    }
    if (out.pendingBytes <= this.#owner.bufferLimitBytes) return true;
    this.needsDrain = true;
    return false;
  }

  sendTrailers(trailers: HeaderBlock): void {
    if (this.isOver || !this.hasHead || this.isRequestDone) return;
    const problem = this.#writer.writeTrailers(this.#owner.out, trailers, this.#owner.enableTrailers);
    if (problem !== undefined) this.#fail(problem, 502);
    else this.#finish();
  }

  reset(error: StreamError): void {
    this.#owner.onReset(this, error);
  }

  consumed(bytes: number): void {
    this.#owner.onConsumed(this, bytes);
  }

  /** 101 or 2xx came: what was kept goes out. */
  openTunnel(): void {
    this.isTunnel = true;
    this.#writer.start(RAW);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const [i, bytes] of early.entries()) {
      this.sendData(bytes, 0, bytes.length, this.#earlyEnd && i === early.length - 1);
    }
  }

  /** The tunnel was refused: the request is over as it stands. */
  refuseTunnel(): void {
    this.#early = undefined;
    this.isRequestDone = true;
  }

  #chooseFraming(head: HeaderBlock, method: string, end: boolean): boolean {
    const writer = this.#writer;
    if (this.isConnect || this.upgrade !== undefined) {
      writer.start(NO_BODY);
      return false;
    }
    const length = contentLengthOf(head);
    if (end) {
      writer.start(NO_BODY);
      // RFC 9110 §8.6: a request with content expected says that there is none.
      if (length !== 0 && (method === "POST" || method === "PUT" || method === "PATCH")) writer.start(BY_LENGTH, 0);
      return length === 0;
    }
    // HTTP/2 has trailers behind a body of known length; here only chunks have them.
    if (length >= 0 && !(this.#owner.enableTrailers && head.has("trailer"))) {
      writer.start(BY_LENGTH, length);
      return true;
    }
    writer.start(CHUNKED);
    return false;
  }

  #writeHead(head: HeaderBlock, method: string, target: string, authority: string, withLength: boolean): void {
    const out = this.#owner.out;
    writeText(out, method);
    writeText(out, " ");
    writeText(out, target);
    writeText(out, isLowerCase(head) ? " HTTP/1.1\r\nhost: " : " HTTP/1.1\r\nHost: ");
    writeText(out, authority);
    writeEnd(out);
    if (this.upgrade?.toLowerCase() === "websocket" && !head.has("sec-websocket-key")) {
      writeLine(out, "Sec-WebSocket-Key", makeWebsocketKey());
      if (!head.has("sec-websocket-version")) writeLine(out, "Sec-WebSocket-Version", "13");
    }
    writeFields(out, head, withLength);
    if (this.upgrade !== undefined) {
      writeLine(out, "Connection", "Upgrade");
      writeLine(out, "Upgrade", this.upgrade);
    } else if (this.#owner.enableTrailers && acceptsTrailers(head)) {
      writeLine(out, "TE", "trailers");
      writeLine(out, "Connection", "TE");
    }
    if (this.#writer.framing === CHUNKED) writeLine(out, "Transfer-Encoding", "chunked");
    else if (this.#writer.framing === BY_LENGTH && !withLength) writeLine(out, "Content-Length", "0");
    writeEnd(out);
  }

  #finish(): void {
    this.isRequestDone = true;
    this.#owner.onRequestDone(this);
  }

  /** The request cannot be said in HTTP/1: nothing of it, or nothing whole, reaches the server. */
  #fail(problem: string, status: number): void {
    const error = makeStreamError(
      "user",
      "stream",
      H2_ERROR.PROTOCOL_ERROR,
      `Cannot send the request over HTTP/1: ${problem}`,
      false,
      status,
    );
    this.#owner.onReset(this, error);
    queueMicrotask(() => this.handler.onReset(error));
  }
}

/** A request line or Host that another parser could read as something else (downgrade injection) is never written. */
function findProblem(method: string, target: string, authority: string): string | undefined {
  if (!isToken(method)) return "an invalid :method";
  if (target === "" || !areCharacters(IS_TARGET, target)) return "an invalid :path";
  if (!areCharacters(IS_AUTHORITY, authority)) return "an invalid :authority";
  const isForm = method === "CONNECT" || target.startsWith("/") || (target === "*" && method === "OPTIONS");
  return isForm ? undefined : "a :path that does not begin with /";
}

function hasUpgradeOption(head: HeaderBlock): boolean {
  return head.get("connection")?.toLowerCase() === "upgrade";
}

function acceptsTrailers(head: HeaderBlock): boolean {
  return head.get("te") === "trailers";
}

/** A client that writes its names in lower case gets `host` so too. */
function isLowerCase(head: HeaderBlock): boolean {
  for (let i = 0; i < head.length; i++) {
    const raw = head.rawNameAt(i);
    if (raw !== undefined) return raw.charCodeAt(0) > 96;
  }
  return false;
}
