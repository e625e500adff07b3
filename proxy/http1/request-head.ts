// A whole request head: line and fields together, checked for what only both of them show.
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FieldScan, INCOMPLETE, REFUSED, trimBlanks } from "./field-scan.ts";
import { AUTHORITY_INDEX, isAuthority, RequestLine } from "./request-line.ts";
import type { Http1ServerOptions } from "./server-options.ts";
import { makeViolation, type Violation } from "./violation.ts";

/** How the body of a request is framed. */
export type RequestBody = "none" | "length" | "chunked" | "tunnel";

const NO_BLOCK = new HeaderBlock();

/** Results hold until the next `read`. */
export class RequestHead {
  readonly line = new RequestLine();
  readonly fields = new FieldScan();
  block: HeaderBlock = NO_BLOCK;
  violation: Violation | undefined = undefined;
  body: RequestBody = "none";
  /** The protocol asked for by Upgrade, when we pass it on. */
  upgrade: string | undefined = undefined;

  /** Answers the position behind the head, INCOMPLETE or REFUSED. One empty line before the request is skipped (RFC 9112 §2.2). */
  read(bytes: Buffer, start: number, end: number, options: Http1ServerOptions): number {
    this.violation = undefined;
    let p = start;
    if (bytes[p] === 13) {
      if (p + 1 >= end) return INCOMPLETE;
      if (bytes[p + 1] !== 10) return this.#refuse(400, "a CR without LF before the request line");
      p += 2;
      if (p >= end) return INCOMPLETE;
    }
    const block = new HeaderBlock();
    block.bytes = bytes;
    this.block = block;
    const behindLine = this.line.scan(bytes, p, end, options.scheme, block);
    if (behindLine === REFUSED) this.violation = this.line.violation;
    if (behindLine < 0) return this.#checkSize(behindLine, end - start, options);
    const behind = this.fields.scan(bytes, behindLine, end, block, options);
    if (behind === REFUSED) this.violation = this.fields.violation;
    if (behind < 0) return this.#checkSize(behind, end - start, options);
    if (behind - start > options.maxHeadBytes) return this.#checkSize(INCOMPLETE, behind - start, options);
    return this.#check(bytes, options) ? behind : REFUSED;
  }

  /** The block, which is not kept here: an idle connection holds none. */
  takeBlock(): HeaderBlock {
    const block = this.block;
    this.block = NO_BLOCK;
    return block;
  }

  #check(bytes: Buffer, options: Http1ServerOptions): boolean {
    const { line, fields, block } = this;
    if (line.minorVersion === 0 && !options.acceptHttp10) return this.#refuseHead(426, "HTTP/1.0 is not served");
    if (line.isAbsolute && !options.allowAbsoluteUrl) return this.#refuseHead(400, "an absolute target is not allowed");
    if (!this.#checkHost(bytes, options)) return false;
    if (!this.#chooseBody(options)) return false;
    if (line.minorVersion === 0 && fields.expectsContinue) {
      block.delete("expect");
      fields.expectsContinue = false;
    }
    if (fields.namesFraming)
      return this.#refuseHead(400, "a Connection field that names a length, a coding or the host");
    fields.stripNamed(block);
    if (fields.acceptsTrailers) block.add("te", "trailers");
    return this.#chooseUpgrade();
  }

  #checkHost(bytes: Buffer, options: Http1ServerOptions): boolean {
    const { line, fields, block } = this;
    if (fields.hostCount > 1) return this.#refuseHead(400, "more than one Host field");
    if (fields.hostCount === 0) {
      if (line.minorVersion === 1) return this.#refuseHead(400, "no Host field");
      if (!line.hasAuthority) block.setValueAt(AUTHORITY_INDEX, options.defaultHost);
      return true;
    }
    if (!isAuthority(bytes, fields.hostStart, fields.hostEnd)) return this.#refuseHead(400, "an invalid Host field");
    if (line.hasAuthority) return true;
    block.setRangeAt(AUTHORITY_INDEX, fields.hostStart, fields.hostEnd);
    return true;
  }

  #chooseBody(options: Http1ServerOptions): boolean {
    const { line, fields, block } = this;
    if (fields.hasTransferEncoding) {
      if (line.minorVersion === 0) return this.#refuseHead(400, "Transfer-Encoding in HTTP/1.0");
      if (fields.contentLength >= 0) {
        if (!options.allowChunkedLength) {
          return this.#refuseHead(400, "Content-Length together with Transfer-Encoding");
        }
        block.delete("content-length");
      }
    }
    if (line.method === "CONNECT") {
      if (fields.hasTransferEncoding || fields.contentLength > 0) {
        return this.#refuseHead(400, "a CONNECT request with a body");
      }
      this.body = "tunnel";
    } else if (fields.hasTransferEncoding) this.body = "chunked";
    else this.body = fields.contentLength > 0 ? "length" : "none";
    return true;
  }

  /**
   * `upgrade` and `connection: upgrade` stay only where we are ready to switch: one protocol, GET, HTTP/1.1, no body. h2c is
   * never passed on: it would smuggle requests past every filter.
   */
  #chooseUpgrade(): boolean {
    const { line, fields, block } = this;
    this.upgrade = undefined;
    if (fields.upgrade === undefined || !fields.hasConnectionUpgrade) return true;
    if (line.minorVersion === 0 || line.method !== "GET" || this.body !== "none") return true;
    const offered = fields.upgrade
      .split(",")
      .map(trimBlanks)
      .filter((protocol) => protocol !== "" && !/^h2c?(?:\/|$)/i.test(protocol));
    const chosen = offered[0];
    if (chosen === undefined || offered.length > 1) return true;
    // RFC 6455 §4.1: the key proves that the client means it; with one of ours, a form in a browser could open a WebSocket.
    if (chosen.toLowerCase() === "websocket" && !block.has("sec-websocket-key")) {
      return this.#refuseHead(400, "a WebSocket upgrade without Sec-WebSocket-Key");
    }
    this.upgrade = chosen;
    this.body = "tunnel";
    block.add("connection", "upgrade", "Connection");
    block.add("upgrade", chosen, "Upgrade");
    return true;
  }

  #checkSize(result: number, length: number, options: Http1ServerOptions): number {
    if (result !== INCOMPLETE || length <= options.maxHeadBytes) return result;
    return this.#refuse(431, `a request head larger than ${options.maxHeadBytes} bytes`);
  }

  #refuseHead(status: number, detail: string): false {
    this.#refuse(status, detail);
    return false;
  }

  #refuse(status: number, detail: string): number {
    this.violation = makeViolation(status, detail);
    return REFUSED;
  }
}
