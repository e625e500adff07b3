// A client of the inventory's protocol: one connection, replies matched to commands in order.
import { connect, type Socket } from "node:net";
import { LineReader, ReplyReader, type InventoryReply } from "./protocol.ts";

interface Waiting {
  readonly resolve: (reply: InventoryReply) => void;
  readonly reject: (error: Error) => void;
}

export class InventoryConnection {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #lines = new LineReader();
  readonly #replies = new ReplyReader();
  /** The text of the 220 line that the server sent first. */
  #greeting = "";
  /** Settles when both directions have ended; rejects when the connection broke. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const ended = Promise.withResolvers<void>();
    this.closed = ended.promise;
    this.closed.catch(() => undefined);
    socket.on("data", (chunk: Buffer) => {
      try {
        for (const line of this.#lines.push(chunk)) this.#onLine(line);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
    socket.on("end", () => socket.end());
    socket.on("error", (error) => ended.reject(error));
    socket.on("close", () => {
      ended.resolve();
      for (const waiting of this.#waiting.splice(0)) {
        waiting.reject(new Error("the inventory closed the connection before it replied"));
      }
    });
  }

  /** Connects to `host:port` and waits for the server's greeting. Rejects when that is not 220. */
  static async open(address: string): Promise<InventoryConnection> {
    const colon = address.lastIndexOf(":");
    const socket = connect({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      allowHalfOpen: true,
      noDelay: true,
    });
    const connection = new InventoryConnection(socket);
    const greeting = await Promise.race([connection.#nextReply(), connection.closed.then(() => undefined)]);
    if (greeting === undefined) throw new Error(`the inventory at ${address} closed the connection without a greeting`);
    if (greeting.code !== 220)
      throw new Error(`the inventory at ${address} greeted with ${greeting.code} ${greeting.text}`);
    connection.#greeting = greeting.text;
    return connection;
  }

  get greeting(): string {
    return this.#greeting;
  }

  /** Sends one command without its line end; rejects on a reply of 400 and above. */
  async ask(command: string): Promise<InventoryReply> {
    this.#socket.write(`${command}\r\n`);
    const reply = await this.#nextReply();
    if (reply.code >= 400) throw new Error(`the inventory refused "${command}": ${reply.code} ${reply.text}`);
    return reply;
  }

  /** Half-closes: nothing more will be asked, replies still come, the server's 221 included. */
  finish(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #nextReply(): Promise<InventoryReply> {
    const { promise, resolve, reject } = Promise.withResolvers<InventoryReply>();
    if (this.#socket.destroyed) reject(new Error("the connection to the inventory is closed"));
    else this.#waiting.push({ resolve, reject });
    return promise;
  }

  #onLine(line: string): void {
    const reply = this.#replies.push(line);
    // A 221 that nobody waits for is the server's good-bye after our half-close.
    if (reply !== undefined) this.#waiting.shift()?.resolve(reply);
  }
}
