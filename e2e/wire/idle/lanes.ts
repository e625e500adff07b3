// Clients on plain sockets that send at the moment when the upstream closes.
import { once } from "node:events";
import net from "node:net";

import { monotonicMs } from "./stalls.ts";

export interface LaneOptions {
  readonly port: number;
  readonly method: "GET" | "POST";
  /** Client connections, each with a request at a time. */
  readonly lanes: number;
  /** Requests of each beyond the first. */
  readonly rounds: number;
  /** So long after an answer was sent its lane sends the next request, 2 ms sooner or later; 0 = at once, within 2 ms. */
  readonly idleMs: number;
  /** All lanes count from the last answer of a round: that of a connection which carries them all. */
  readonly isTogether?: boolean;
}

/** One request, and how it went; times by `monotonicMs`. */
export interface Exchange {
  readonly sentMs: number;
  /** When its upstream must have closed the connection of the request before it; undefined: there was none. */
  readonly dueMs: number | undefined;
  /** The upstream's connection of the request before it. */
  readonly connectionBefore: string;
  readonly answeredMs: number;
  /** "200", or what came instead. */
  readonly status: string;
}

const SHAKE_MS = 2;
let ids = 0;

/** Runs all lanes to their end. */
export async function runLanes(options: LaneOptions): Promise<readonly Exchange[]> {
  const { idleMs, rounds, isTogether = false } = options;
  const exchanges: Exchange[] = [];
  const lanes = await Promise.all(Array.from({ length: options.lanes }, () => Lane.open(options)));
  const runRound = async (lane: Lane, round: number, afterMs: number): Promise<void> => {
    const dueMs = round === 0 ? undefined : afterMs + idleMs;
    const wantedMs = (dueMs ?? 0) + (Math.random() * 2 - 1) * SHAKE_MS;
    if (dueMs !== undefined) await new Promise((resolve) => setTimeout(resolve, Math.max(0, wantedMs - monotonicMs())));
    const connectionBefore = lane.connection;
    const sentMs = monotonicMs();
    const status = await lane.ask();
    exchanges.push({ sentMs, dueMs, connectionBefore, answeredMs: monotonicMs(), status });
  };
  const runLane = async (lane: Lane): Promise<void> => {
    for (let round = 0; round <= rounds; round++) await runRound(lane, round, lane.answeredMs);
  };
  if (isTogether) {
    for (let round = 0; round <= rounds; round++) {
      const lastMs = Math.max(...lanes.map((lane) => lane.answeredMs));
      await Promise.all(lanes.map((lane) => runRound(lane, round, lastMs)));
    }
  } else await Promise.all(lanes.map(runLane));
  for (const lane of lanes) lane.close();
  return exchanges;
}

/** Shares of the requests after the first of each lane. */
export interface Nearness {
  /** Sent within 2 ms of the moment when the upstream had to close what its lane was answered on. */
  readonly due: number;
  /** Sent within 2 ms of a real close by the upstream, of whatever connection: the others had been given up before. */
  readonly real: number;
}

export function measureNearness(exchanges: readonly Exchange[], closes: Readonly<Record<string, number>>): Nearness {
  const later = exchanges.filter(({ dueMs }) => dueMs !== undefined);
  const closesMs = Float64Array.from(Object.values(closes)).sort();
  const isNear = (sentMs: number): boolean => {
    const next = closesMs.findIndex((closedMs) => closedMs >= sentMs - SHAKE_MS);
    return next >= 0 && (closesMs[next] ?? Infinity) <= sentMs + SHAKE_MS;
  };
  const share = (some: readonly Exchange[]): number => some.length / Math.max(1, later.length);
  return {
    due: share(later.filter(({ sentMs, dueMs = Infinity }) => Math.abs(sentMs - dueMs) <= SHAKE_MS)),
    real: share(later.filter(({ sentMs }) => isNear(sentMs))),
  };
}

class Lane {
  answeredMs = 0;
  connection = "";
  readonly #options: LaneOptions;
  #socket: net.Socket;
  #text = "";
  #waiting: ((status: string) => void) | undefined = undefined;

  private constructor(options: LaneOptions) {
    this.#options = options;
    this.#socket = this.#connect();
  }

  static async open(options: LaneOptions): Promise<Lane> {
    const lane = new Lane(options);
    await once(lane.#socket, "connect");
    return lane;
  }

  /** Resolves with "200", or what came instead. */
  ask(): Promise<string> {
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
    socket.on("error", (error) => this.#answer(error.message, ""));
    socket.on("close", () => this.#answer("closed without an answer", ""));
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
    this.#answer(status === "200" ? status : `${status} ${/"title":"([^"]*)/.exec(body)?.[1] ?? body}`, head);
  }

  /** `head`: lower-case; empty without an answer. */
  #answer(status: string, head: string): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#waiting = undefined;
    this.connection = /\r\nx-connection: (\S+)/.exec(head)?.[1] ?? "";
    this.answeredMs = Number(/\r\nx-answered: (\S+)/.exec(head)?.[1] ?? monotonicMs());
    waiting(status);
  }
}
