// A whole response head, and how its body is framed (RFC 9112 §6.3).
import { HeaderBlock } from "#lib/http/header-block.ts";
import { FieldScan, INCOMPLETE, REFUSED } from "./field-scan.ts";
import type { HeadLimits } from "./field-scan.ts";
import { StatusLine, statusText } from "./status-line.ts";
import { makeViolation, type Violation } from "./violation.ts";

export type ResponseBody = "none" | "length" | "chunked" | "until-close" | "tunnel";

/** What of the request decides how its response is read. */
export interface RequestTraits {
  readonly isHead: boolean;
  readonly isConnect: boolean;
  readonly upgrade: string | undefined;
}

const NO_BLOCK = new HeaderBlock();

/** Results hold until the next `read`. */
export class ResponseHead {
  readonly line = new StatusLine();
  readonly fields = new FieldScan();
  block: HeaderBlock = NO_BLOCK;
  violation: Violation | undefined = undefined;
  body: ResponseBody = "none";
  isInformational = false;

  /** Answers the position behind the head, INCOMPLETE or REFUSED. */
  read(bytes: Buffer, start: number, end: number, traits: RequestTraits, limits: HeadLimits): number {
    this.violation = undefined;
    const behindLine = this.line.scan(bytes, start, end);
    if (behindLine === REFUSED) this.violation = this.line.violation;
    if (behindLine < 0) return this.#checkSize(behindLine, end - start, limits);
    const block = new HeaderBlock();
    block.bytes = bytes;
    block.add(":status", statusText(this.line.status));
    this.block = block;
    const behind = this.fields.scan(bytes, behindLine, end, block, limits);
    if (behind === REFUSED) this.violation = makeViolation(502, this.fields.violation?.detail ?? "an invalid field");
    if (behind < 0) return this.#checkSize(behind, end - start, limits);
    if (behind - start > limits.maxHeadBytes) return this.#checkSize(INCOMPLETE, behind - start, limits);
    return this.#check(traits) ? behind : REFUSED;
  }

  takeBlock(): HeaderBlock {
    const block = this.block;
    this.block = NO_BLOCK;
    return block;
  }

  #check(traits: RequestTraits): boolean {
    const { fields, block } = this;
    const status = this.line.status;
    fields.stripNamed(block);
    this.isInformational = status < 200 && status !== 101;
    if (status === 101) return this.#checkSwitch(traits);
    if (fields.hasTransferEncoding && fields.contentLength >= 0) {
      return this.#refuse("Content-Length together with Transfer-Encoding");
    }
    if (fields.hasTransferEncoding && this.line.minorVersion === 0)
      return this.#refuse("Transfer-Encoding in HTTP/1.0");
    if (traits.isConnect && status >= 200 && status < 300) {
      block.delete("content-length");
      this.body = "tunnel";
    } else if (this.isInformational || status === 204) {
      block.delete("content-length");
      this.body = "none";
    } else if (traits.isHead || status === 304) this.body = "none";
    else if (fields.hasTransferEncoding) this.body = "chunked";
    else if (fields.contentLength >= 0) this.body = fields.contentLength === 0 ? "none" : "length";
    else this.body = "until-close";
    return true;
  }

  /** 101 only to what was asked (RFC 9110 §7.8). */
  #checkSwitch(traits: RequestTraits): boolean {
    const asked = traits.upgrade;
    if (asked === undefined) return this.#refuse("101, but no upgrade was asked for");
    const given = this.fields.upgrade;
    if (given === undefined || given.toLowerCase() !== asked.toLowerCase() || !this.fields.hasConnectionUpgrade) {
      return this.#refuse(`101 to "${given ?? ""}", but "${asked}" was asked for`);
    }
    this.block.delete("content-length");
    this.block.add("connection", "upgrade", "Connection");
    this.block.add("upgrade", given, "Upgrade");
    this.body = "tunnel";
    return true;
  }

  #checkSize(result: number, length: number, limits: HeadLimits): number {
    if (result !== INCOMPLETE || length <= limits.maxHeadBytes) return result;
    this.#refuse(`a response head larger than ${limits.maxHeadBytes} bytes`);
    return REFUSED;
  }

  #refuse(detail: string): false {
    this.violation = makeViolation(502, detail);
    return false;
  }
}
