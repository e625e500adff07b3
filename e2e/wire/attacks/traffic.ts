// Normal clients, as a process of their own: requests at a steady rate over kept connections, whatever happens to earlier ones.
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";

/** Where normal clients go; `ca` makes it TLS. */
export interface NormalTarget {
  readonly version: "h1" | "h2";
  readonly port: number;
  readonly ca?: string | undefined;
  readonly servername?: string | undefined;
}

export type TrafficOrder =
  | { readonly kind: "start"; readonly targets: readonly NormalTarget[]; readonly everyMs: number }
  | { readonly kind: "mark" };

/** What happened since the last mark; latencies in ms. */
export interface TrafficReport {
  readonly requests: number;
  readonly failures: readonly string[];
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const CONNECTIONS = 4;
/** A request that took so long has failed. */
const LIMIT_MS = 15_000;
const BODY = Buffer.alloc(1000, "n");

type Send = (isPost: boolean) => Promise<void>;

class Phase {
  readonly latencies: number[] = [];
  readonly failures: string[] = [];
  readonly running = new Set<Promise<void>>();

  run(send: Send, isPost: boolean): void {
    const began = performance.now();
    const one = send(isPost)
      .then(
        () => void this.latencies.push(performance.now() - began),
        (error: Error) => void this.failures.push(`${isPost ? "POST" : "GET"}: ${error.message}`),
      )
      .finally(() => this.running.delete(one));
    this.running.add(one);
  }

  async report(): Promise<TrafficReport> {
    await Promise.all(this.running);
    const sorted = this.latencies.sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      requests: sorted.length + this.failures.length,
      failures: this.failures.slice(0, 10),
      p50: at(0.5),
      p99: at(0.99),
      max: sorted.at(-1) ?? 0,
    };
  }
}

function check(status: number | undefined, bytes: number, isPost: boolean): void {
  if (status !== 200) throw new Error(`status ${status}`);
  if (isPost ? bytes !== BODY.length : bytes === 0) throw new Error(`a body of ${bytes} bytes`);
}

function makeHttp1({ port, ca, servername }: NormalTarget): Send {
  const options = { keepAlive: true, maxSockets: CONNECTIONS };
  const agent = ca === undefined ? new http.Agent(options) : new https.Agent({ ...options, ca, servername });
  const client = ca === undefined ? http : https;
  return (isPost) =>
    new Promise((resolve, reject) => {
      const request = client.request(
        { host: "127.0.0.1", port, agent, path: "/normal", method: isPost ? "POST" : "GET", timeout: LIMIT_MS },
        (response) => {
          let bytes = 0;
          response.on("data", (piece: Buffer) => (bytes += piece.length));
          response.on("error", reject);
          response.on("end", () => {
            try {
              check(response.statusCode, bytes, isPost);
              resolve();
            } catch (error) {
              reject(error);
            }
          });
        },
      );
      request.on("timeout", () => request.destroy(new Error(`HTTP/1: no answer within ${LIMIT_MS} ms`)));
      request.on("error", reject);
      request.end(isPost ? BODY : undefined);
    });
}

function makeHttp2({ port, ca, servername }: NormalTarget): Send {
  const sessions: http2.ClientHttp2Session[] = [];
  let turn = 0;
  const session = (): http2.ClientHttp2Session => {
    const at = turn++ % CONNECTIONS;
    const known = sessions[at];
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const made =
      ca === undefined
        ? http2.connect(`http://127.0.0.1:${port}`)
        : http2.connect(`https://127.0.0.1:${port}`, { ca, servername });
    // Every stream hears of it too, and is what counts.
    made.on("error", () => undefined);
    sessions[at] = made;
    return made;
  };
  return (isPost) =>
    new Promise((resolve, reject) => {
      const stream = session().request(
        { ":method": isPost ? "POST" : "GET", ":path": "/normal" },
        { endStream: !isPost },
      );
      let status: number | undefined;
      let bytes = 0;
      stream.setTimeout(LIMIT_MS, () => stream.destroy(new Error(`HTTP/2: no answer within ${LIMIT_MS} ms`)));
      stream.on("response", (head) => (status = head[":status"]));
      stream.on("data", (piece: Buffer) => (bytes += piece.length));
      stream.on("error", reject);
      stream.on("close", () => {
        try {
          check(status, bytes, isPost);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
      if (isPost) stream.end(BODY);
    });
}

let phase = new Phase();
let turn = 0;

function start(targets: readonly NormalTarget[], everyMs: number): void {
  const sends = targets.map((target) => (target.version === "h1" ? makeHttp1(target) : makeHttp2(target)));
  setInterval(() => {
    turn++;
    for (const send of sends) phase.run(send, turn % 4 === 0);
  }, everyMs);
}

if (process.send !== undefined) {
  process.on("message", (order: TrafficOrder) => {
    if (order.kind === "start") return start(order.targets, order.everyMs);
    const before = phase;
    phase = new Phase();
    void before.report().then((report) => process.send?.(report));
  });
  process.on("disconnect", () => process.exit());
}
