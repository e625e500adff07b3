// Runs in a pod: calls a URL at a steady rate when it is told to, and tells how the calls went. Needs nothing but Node.
//
// POST /run with a LoadOrder begins, GET /report answers a LoadReport, POST /stop ends what is going on.
import http from "node:http";

export interface LoadOrder {
  readonly url: string;
  readonly perSecond: number;
  /** Calls in all; without it, until it is stopped. */
  readonly count?: number;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Of one call; 10 s if not said otherwise. */
  readonly timeoutMs?: number;
  /** A new connection for each call. */
  readonly fresh?: boolean;
}

export interface LoadReport {
  readonly sent: number;
  /** Answers of 200 to 399 that came whole. */
  readonly succeeded: number;
  /** What went wrong -> how often: `503 UF`, `ECONNRESET`, `timeout`. */
  readonly failures: Readonly<Record<string, number>>;
  /** The first few failures, with their time. */
  readonly examples: readonly string[];
  /** Nothing is going on any more. */
  readonly isDone: boolean;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

class Run {
  readonly #order: LoadOrder;
  readonly #agent: http.Agent;
  readonly #failures: Record<string, number> = {};
  readonly #examples: string[] = [];
  readonly #latencies: number[] = [];
  readonly #beginMs = performance.now();
  #sent = 0;
  #open = 0;
  #succeeded = 0;
  #isStopped = false;

  constructor(order: LoadOrder) {
    this.#order = order;
    this.#agent = new http.Agent({ keepAlive: order.fresh !== true, maxSockets: Infinity });
    this.#send();
  }

  stop(): void {
    this.#isStopped = true;
  }

  get report(): LoadReport {
    const sorted = this.#latencies.toSorted((left, right) => left - right);
    const at = (share: number): number => Math.round(sorted[Math.floor(sorted.length * share)] ?? 0);
    return {
      sent: this.#sent,
      succeeded: this.#succeeded,
      failures: this.#failures,
      examples: this.#examples,
      isDone: this.#isOver() && this.#open === 0,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    };
  }

  #isOver(): boolean {
    return this.#isStopped || this.#sent >= (this.#order.count ?? Infinity);
  }

  /** All that is due by now: the rate holds however slow the answers are. */
  #send(): void {
    const due = ((performance.now() - this.#beginMs) / 1000) * this.#order.perSecond;
    while (!this.#isOver() && this.#sent < due) this.#call();
    if (this.#isOver()) this.#isStopped = true;
    else setTimeout(() => this.#send(), 5);
  }

  #call(): void {
    const { url, method = "GET", headers = {}, body, timeoutMs = 10_000 } = this.#order;
    const begin = performance.now();
    this.#sent++;
    this.#open++;
    let isSettled = false;
    const settle = (failure?: string): void => {
      if (isSettled) return;
      isSettled = true;
      this.#open--;
      this.#latencies.push(performance.now() - begin);
      if (failure === undefined) this.#succeeded++;
      else this.#onFailure(failure);
    };
    const request = http.request(url, { agent: this.#agent, method, headers, signal: AbortSignal.timeout(timeoutMs) });
    request.on("error", (error: Error & { code?: string }) =>
      settle(error.name === "AbortError" ? "timeout" : (error.code ?? error.message)),
    );
    request.on("response", (response) => {
      const status = response.statusCode ?? 0;
      let text = "";
      response.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
      response.on("end", () => settle(status < 400 ? undefined : `${status} ${text.slice(0, 120)}`.trim()));
      response.on("error", (error: Error & { code?: string }) => settle(`broken off: ${error.code ?? error.message}`));
    });
    request.end(body);
  }

  #onFailure(what: string): void {
    this.#failures[what] = (this.#failures[what] ?? 0) + 1;
    if (this.#examples.length < 10) this.#examples.push(`${new Date().toISOString()} call ${this.#sent}: ${what}`);
  }
}

let current: Run | undefined;

async function answer(request: http.IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const bytes of request) text += String(bytes);
  if (request.url === "/run") {
    current?.stop();
    current = new Run(JSON.parse(text) as LoadOrder); // as: load.ts sends it
  }
  if (request.url === "/stop") current?.stop();
  return current?.report ?? {};
}

const server = http.createServer((request, response) => {
  answer(request).then(
    (value) => response.end(JSON.stringify(value)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
server.listen(Number(process.env["LOAD_PORT"] ?? "9999"));
process.once("SIGTERM", () => process.exit(0));
