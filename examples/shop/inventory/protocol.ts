// The inventory's line protocol: the server greets first, replies have three digits like SMTP's (RFC 5321 §4.2).
//
//   S: 220 inventory-1 stock service ready
//   C: STOCK mug                 S: 250 mug 40
//   C: RESERVE mug 2             S: 250 mug 38
//   C: LIST                      S: 250-mug 38 / 250-teapot 12 / 250 kettle 9
//   C: HISTORY 3                 S: 250-1 ... / 250-2 ... / 250 3 ...
//   C: QUIT  (or half-close)     S: 221 bye, and the connection ends
//
// Commands may be sent without waiting for replies; replies come in order.

/** Longest line either side may send, its end included. */
const MAX_LINE_BYTES = 1024;

/** One whole reply: its code and its lines without the code. */
export interface InventoryReply {
  readonly code: number;
  readonly lines: readonly string[];
  /** All lines, joined by newlines. */
  readonly text: string;
}

/** Cuts a stream of bytes into lines at CRLF (a bare LF is accepted). Throws when a line is too long. */
export class LineReader {
  #rest = "";

  /** The whole lines that `chunk` completes. Each byte is one character (latin1): nothing is cut between bytes. */
  push(chunk: Buffer): string[] {
    const parts = (this.#rest + chunk.toString("latin1")).split("\n");
    this.#rest = parts.pop() ?? "";
    if (this.#rest.length > MAX_LINE_BYTES) throw new Error(`a line may have ${MAX_LINE_BYTES} bytes`);
    return parts.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  }
}

/** Puts reply lines together: `250-` goes on, `250 ` ends. */
export class ReplyReader {
  #lines: string[] = [];

  /** The reply that `line` completes, or undefined when more lines follow. Throws when it is no reply line. */
  push(line: string): InventoryReply | undefined {
    const match = /^(\d{3})([ -])(.*)$/u.exec(line);
    if (match === null) throw new Error(`not a reply line: "${line.slice(0, 80)}"`);
    const [, code, mark, text = ""] = match;
    this.#lines.push(text);
    if (mark === "-") return undefined;
    const lines = this.#lines;
    this.#lines = [];
    return { code: Number(code), lines, text: lines.join("\n") };
  }
}

/** A reply as bytes on the wire. */
export function formatReply(code: number, lines: readonly string[]): string {
  return lines.map((line, index) => `${code}${index === lines.length - 1 ? " " : "-"}${line}\r\n`).join("");
}
