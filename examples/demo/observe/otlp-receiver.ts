// An OTLP/HTTP receiver that keeps the spans it gets: the other end of the proxies' exporters.
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { gunzipSync } from "node:zlib";
import { spansOfJson, spansOfProtobuf, type Span } from "./otlp-spans.ts";

export interface OtlpReceiver {
  /** All spans of one trace that came so far. */
  spansOf(traceId: string): readonly Span[];
  readonly spanCount: number;
  close(): Promise<void>;
}

/** Spans kept; the demo can run for days. */
const KEPT_SPANS = 20_000;

/** Listens for `POST /v1/traces`, JSON or protobuf, gzip or plain. */
export async function startOtlpReceiver(port: number, host = "127.0.0.1"): Promise<OtlpReceiver> {
  let spans: Span[] = [];
  let count = 0;
  const server = createServer((request, response) => {
    receive(request).then(
      (received) => {
        count += received.length;
        spans.push(...received);
        if (spans.length > KEPT_SPANS) spans = spans.slice(KEPT_SPANS / 2);
        response
          .writeHead(200, { "content-type": request.headers["content-type"] ?? "application/json" })
          .end(request.headers["content-type"] === "application/x-protobuf" ? "" : "{}");
      },
      (error: unknown) => response.writeHead(400).end(String(error)),
    );
  });
  server.listen(port, host);
  await once(server, "listening");
  return {
    spansOf: (traceId) => spans.filter((span) => span.traceId === traceId),
    get spanCount() {
      return count;
    },
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function receive(request: IncomingMessage): Promise<readonly Span[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const bytes = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
  if (request.url !== "/v1/traces") return [];
  const isJson = request.headers["content-type"]?.startsWith("application/json") === true;
  return isJson ? spansOfJson(bytes.toString("utf8")) : spansOfProtobuf(bytes);
}
