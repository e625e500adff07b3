// Runs in a pod of the shop: makes the calls of a CallOrder (its first argument) and prints how often it got what, as JSON.
import http from "node:http";

export interface CallOrder {
  readonly url: string;
  readonly count: number;
  /** Calls at the same time; 8 if not said otherwise. */
  readonly concurrency?: number;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

const [orderText = "{}", fieldPath = ""] = process.argv.slice(2);
const { url, count, concurrency = 8, method = "GET", headers = {}, body } = JSON.parse(orderText) as CallOrder; // as: shop.ts sends it
const agent = new http.Agent({ keepAlive: true, maxSockets: concurrency });
const counts: Record<string, number> = {};
let left = count;

function call(): Promise<string> {
  return new Promise((resolve) => {
    const request = http.request(url, { agent, method, headers, signal: AbortSignal.timeout(30_000) });
    request.on("error", (error: Error & { code?: string }) => resolve(`0 ${error.code ?? error.message}`));
    request.on("response", (response) => {
      let text = "";
      response.on("data", (bytes: Buffer) => (text += bytes.toString()));
      response.on("error", () => resolve("0 broken off"));
      response.on("end", () => resolve(`${response.statusCode} ${fieldOf(text)}`));
    });
    request.end(body);
  });
}

/** What the body has at `quotes.0.cents`; empty if it has nothing there. */
function fieldOf(text: string): string {
  try {
    let value: unknown = JSON.parse(text);
    for (const name of fieldPath.split("."))
      value = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
    return typeof value === "string" || typeof value === "number" ? String(value) : "";
  } catch {
    return "";
  }
}

async function lane(): Promise<void> {
  while (left-- > 0) {
    const what = await call();
    counts[what] = (counts[what] ?? 0) + 1;
  }
}

await Promise.all(Array.from({ length: concurrency }, lane));
process.stdout.write(JSON.stringify(counts));
process.exit(0);
