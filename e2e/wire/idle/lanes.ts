// Clients on plain sockets that send at the moment when the upstream closes.
import { once } from "node:events";
import net from "node:net";

import { monotonicMs } from "./upstream.ts";

export interface LaneOptions {
  readonly port: number;
  readonly method: "GET" | "POST";
  /** Client connections, each with a request at a time. */
  readonly lanes: number;
  /** Requests of each beyond the first. */
  readonly rounds: number;
  /** After so long each sends its next request, within 2 ms; 0 = at once, within 2 ms. */
  readonly idleMs: number;
}

export interface LaneResult {
  readonly sent: number;
  /** What went wrong, by kind. */
  readonly failures: Readonly<Record<string, number>>;
  /** The upstream connection of the request before, and when the next one was sent. */
  readonly sends: readonly (readonly [connection: string, sentMs: number])[];
}

const SHAKE_MS = 2;
let ids = 0;

/** Runs all lanes to their end. */
export async function runLanes(options: LaneOptions): Promise<LaneResult> {
  const failures: Record<string, number> = {};
  const sends: [string, number][] = [];
  let sent = 0;
  const fail = (what: string): void => void (failures[what] = (failures[what] ?? 0) + 1);
  const runLane = async (): Promise<void> => {
    const lane = await Lane.open(options);
    let connection = "";
    for (let round = 0; round <= options.rounds; round++) {
      if (round > 0) {
        const dueMs = lane.answeredMs + options.idleMs + (Math.random() * 2 - 1) * SHAKE_MS;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - monotonicMs())));
        sends.push([connection, monotonicMs()]);
      }
      sent++;
      const answer = await lane.ask();
      if (answer.status !== "200") fail(answer.status);
      connection = answer.connection;
    }
    lane.close();
  };
  await Promise.all(Array.from({ length: options.lanes }, runLane));
  return { sent, failures, sends };
}

/** Of the requests that followed an upstream's close, how many were sent within 2 ms of it. */
export function shareNearClose(sends: LaneResult["sends"], closes: Readonly<Record<string, number>>): number {
  const distances = sends.flatMap(([connection, sentMs]) => {
    const closedMs = closes[connection];
    return closedMs === undefined ? [] : [Math.abs(sentMs - closedMs)];
  });
  return distances.filter((distance) => distance <= SHAKE_MS).length / Math.max(1, distances.length);
}

interface Answer {
  /** "200", or what came instead. */
  readonly status: string;
  readonly connection: string;
}

class Lane {
  answeredMs = 0;
  readonly #options: LaneOptions;
  #socket: net.Socket;
  #text = "";
  #waiting: ((answer: Answer) => void) | undefined = undefined;

  private constructor(options: LaneOptions) {
    this.#options = options;
    this.#socket = this.#connect();
  }

  static async open(options: LaneOptions): Promise<Lane> {
    const lane = new Lane(options);
    await once(lane.#socket, "connect");
    return lane;
  }

  ask(): Promise<Answer> {
    const { method, idleMs } = this.#options;
    const hold = idleMs > 0 ? "x-hold: 1\r\n" : "";
    const body = method === "POST" ? "content-length: 5\r\n\r\nhello" : "\r\n";
    return new Promise((resolve) => {
      this.#waiting = resolve;
      if (this.#socket.destroyed) this.#socket = this.#connect();
      this.#socket.write(`${method} / HTTP/1.1\r\nhost: app\r\nx-id: ${++ids}\r\n${hold}${body}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #connect(): net.Socket {
    const socket = net.connect(this.#options.port, "127.0.0.1");
    this.#text = "";
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#receive(bytes.toString("latin1")));
    socket.on("error", (error) => this.#answer({ status: error.message, connection: "" }));
    socket.on("close", () => this.#answer({ status: "closed without an answer", connection: "" }));
    return socket;
  }

  #receive(text: string): void {
    this.#text += text;
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#text.slice(0, end).toLowerCase();
    const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? "-1");
    const chunkEnd = this.#text.indexOf("\r\n0\r\n\r\n", end);
    if (length < 0 ? chunkEnd < 0 : this.#text.length < end + 4 + length) return;
    const body = this.#text.slice(end + 4);
    this.#text = "";
    const status = head.slice(9, 12);
    this.#answer({
      status: status === "200" ? status : `${status} ${/"title":"([^"]*)/.exec(body)?.[1] ?? body}`,
      connection: /\r\nx-connection: (\S+)/.exec(head)?.[1] ?? "",
    });
  }

  #answer(answer: Answer): void {
    this.answeredMs = monotonicMs();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(answer);
  }
}
