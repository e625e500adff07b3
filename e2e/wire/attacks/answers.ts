// Reads the answers on an HTTP/1 connection strictly, without a library that could be lenient.
import net from "node:net";

import { until } from "../until.ts";

export interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

export class RawClient {
  readonly answers: Answer[] = [];
  /** Interim statuses (1xx but 101), as they came. */
  readonly interim: number[] = [];
  /** The peer closed or reset the connection. */
  isClosed = false;
  /** What came and is no answer: text, or undefined. */
  problem: string | undefined = undefined;
  readonly socket: net.Socket;
  readonly #methods: readonly string[];
  #rest = "";

  /** `methods`: of the requests, since an answer to HEAD has no body. */
  constructor(port: number, methods: readonly string[] = []) {
    this.#methods = methods;
    this.socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    this.socket.on("data", (bytes: Buffer) => {
      this.#rest += bytes.toString("latin1");
      this.#read();
    });
    this.socket.on("end", () => {
      this.isClosed = true;
      this.socket.end();
    });
    // Being reset is one way of being refused.
    this.socket.on("error", () => (this.isClosed = true));
    this.socket.on("close", () => (this.isClosed = true));
  }

  /** Latin-1. */
  write(text: string): void {
    if (!this.socket.destroyed) this.socket.write(text, "latin1");
  }

  /** What came behind the last whole answer. */
  get rest(): string {
    return this.#rest;
  }

  async waitFor(count: number, isClosed: boolean, limitMs = 10_000): Promise<void> {
    const isThere = (): boolean => this.answers.length >= count && (this.isClosed || !isClosed);
    await until(`${count} answers${isClosed ? " and the end" : ""}`, () => isThere() || this.isClosed, limitMs);
  }

  destroy(): void {
    this.socket.destroy();
  }

  #read(): void {
    for (;;) {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#rest.slice(0, end + 4);
      const status = Number(/^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n/.exec(head)?.[1] ?? "0");
      if (status === 0) {
        this.problem ??= this.#rest.slice(0, 200);
        return;
      }
      if (status < 200 && status !== 101) {
        this.interim.push(status);
        this.#rest = this.#rest.slice(head.length);
        continue;
      }
      const method = this.#methods[this.answers.length] ?? "GET";
      const hasBody = method !== "HEAD" && status !== 204 && status !== 304 && status !== 101;
      const body = hasBody ? readBody(head, this.#rest.slice(head.length)) : { text: "", length: 0 };
      if (body === undefined) return;
      this.#rest = this.#rest.slice(head.length + body.length);
      this.answers.push({ status, head, body: body.text });
    }
  }
}

/** Undefined: more is to come. An answer without a length goes on to the end of the connection. */
function readBody(head: string, rest: string): { readonly text: string; readonly length: number } | undefined {
  const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
  if (length !== undefined) {
    const wanted = Number(length);
    return rest.length < wanted ? undefined : { text: rest.slice(0, wanted), length: wanted };
  }
  if (!/^transfer-encoding: chunked\r$/im.test(head)) return undefined;
  let text = "";
  let position = 0;
  for (;;) {
    const end = rest.indexOf("\r\n", position);
    if (end < 0) return undefined;
    const size = Number.parseInt(rest.slice(position, end), 16);
    position = end + 2;
    if (size === 0) {
      const last = rest.indexOf("\r\n", position);
      return last === position ? { text, length: position + 2 } : undefined;
    }
    if (rest.length < position + size + 2) return undefined;
    text += rest.slice(position, position + size);
    position += size + 2;
  }
}
