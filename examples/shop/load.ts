// Traffic for tests and the demo: HTTP calls whose failures are values, many at a time or without pause.
import { Agent, request } from "undici";
import { flattenHeaders, parseBody } from "./kit/http-client.ts";

/** One call to make. */
export interface Call {
  readonly url: string;
  readonly method?: "GET" | "POST" | "PUT" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** How a call ended. A call that got no answer has status 0 and says why in `error`. */
export interface Outcome {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The JSON body, or the text when it is no JSON. */
  readonly body: unknown;
  readonly error: string;
  /** Monotonic milliseconds at the beginning, and how long it took. */
  readonly startMs: number;
  readonly tookMs: number;
}

/** Makes calls over kept connections. Close it when done. */
export class Load {
  readonly #agent: Agent;
  readonly #closing = new AbortController();

  /** At most `connections` to one origin; a call without an answer fails after `timeoutMs`. */
  constructor({
    connections = 64,
    timeoutMs = 30_000,
  }: { readonly connections?: number; readonly timeoutMs?: number } = {}) {
    this.#agent = new Agent({
      connections,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connectTimeout: timeoutMs,
    });
  }

  /** Makes one call; never throws. */
  async call({ url, method = "GET", headers = {}, body }: Call): Promise<Outcome> {
    const startMs = performance.now();
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const type: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    try {
      const response = await request(url, {
        method,
        headers: { ...type, ...headers },
        dispatcher: this.#agent,
        ...sent,
      });
      const text = await response.body.text();
      const tookMs = performance.now() - startMs;
      return {
        status: response.statusCode,
        headers: flattenHeaders(response.headers),
        body: parseBody(text),
        error: "",
        startMs,
        tookMs,
      };
    } catch (error) {
      const reason =
        error instanceof Error ? `${"code" in error ? `${String(error.code)}: ` : ""}${error.message}` : String(error);
      return { status: 0, headers: {}, body: undefined, error: reason, startMs, tookMs: performance.now() - startMs };
    }
  }

  /** Makes `count` calls, `concurrency` at a time; outcomes in the order of their index. */
  async many(count: number, concurrency: number, make: (index: number) => Call): Promise<readonly Outcome[]> {
    const outcomes: Outcome[] = [];
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < count) {
        const index = next;
        next += 1;
        outcomes[index] = await this.call(make(index));
      }
    };
    await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
    return outcomes;
  }

  /** Calls without pause, `concurrency` at a time, until stopped. */
  keepCalling(concurrency: number, make: (index: number) => Call): Background {
    const outcomes: Outcome[] = [];
    const stopping = new AbortController();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (!stopping.signal.aborted && !this.#closing.signal.aborted) {
        const index = next;
        next += 1;
        outcomes.push(await this.call(make(index)));
      }
    };
    const done = Promise.all(Array.from({ length: concurrency }, lane));
    return {
      outcomes,
      stop: async () => {
        stopping.abort();
        await done;
        return outcomes;
      },
    };
  }

  /** Ends all background traffic too. */
  close(): Promise<void> {
    this.#closing.abort();
    return this.#agent.close();
  }
}

/** Traffic that runs until stopped; `outcomes` grows meanwhile. */
export interface Background {
  readonly outcomes: readonly Outcome[];
  /** Starts no more calls, waits for those that run, and gives all outcomes. */
  stop(): Promise<readonly Outcome[]>;
}

/** How many outcomes have each value of `key`. */
export function tally(
  outcomes: readonly Outcome[],
  key: (outcome: Outcome) => string | number,
): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) {
    const name = String(key(outcome));
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

/** A field of the JSON object that was answered, as text; empty when there is none. */
export function fieldOf(outcome: Outcome, name: string): string {
  const body = outcome.body;
  if (typeof body !== "object" || body === null) return "";
  const value: unknown = Reflect.get(body, name);
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
