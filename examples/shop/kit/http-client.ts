// The HTTP client that the shop's applications share: JSON over kept connections, as undici gives it.
import { Agent, request } from "undici";

/** What an upstream answered. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** Calls one service at a base URL. */
export class HttpClient {
  readonly #base: string;
  readonly #agent: Agent;

  /** `base` is `http://host:port`, without a path. */
  constructor(base: string) {
    this.#base = base;
    this.#agent = new Agent({ connections: 32 });
  }

  get(path: string, headers: Record<string, string>): Promise<Reply> {
    return this.#send("GET", path, headers, undefined);
  }

  post(path: string, headers: Record<string, string>, body: unknown): Promise<Reply> {
    return this.#send("POST", path, { ...headers, "content-type": "application/json" }, JSON.stringify(body));
  }

  /** Closes kept connections; what runs is let finish. */
  close(): Promise<void> {
    return this.#agent.close();
  }

  async #send(
    method: "GET" | "POST",
    path: string,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<Reply> {
    const options = { method, headers, dispatcher: this.#agent, ...(body === undefined ? {} : { body }) };
    const response = await request(`${this.#base}${path}`, options);
    const text = await response.body.text();
    return { status: response.statusCode, headers: flattenHeaders(response.headers), body: parseBody(text) };
  }
}

/** Header fields with one text each; repeated ones are joined as RFC 9110 §5.3 says. */
export function flattenHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return flat;
}

/** The JSON value of a body, or its text when it is none. */
export function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
