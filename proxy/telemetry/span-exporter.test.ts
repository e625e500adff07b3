// Spans over OTLP to a real receiver on this machine.
import assert from "node:assert/strict";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import { silentLog } from "#lib/log.ts";

import type { SpanRecord } from "./records.ts";
import { OtlpSpanExporter } from "./span-exporter.ts";

const SPAN: SpanRecord = {
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  spanId: "00f067aa0ba902b7",
  parentSpanId: "b7ad6b7169203331",
  traceState: "vendor=1",
  name: "HTTPRoute shop/reviews rule 0",
  kind: "server",
  startMs: Date.now() - 5,
  endMs: Date.now(),
  attributes: { "http.response.status_code": 200 },
  isError: false,
};

test("spans keep the ids of the wire, and what waits is sent before the end, in bounds", async () => {
  const bodies: { readonly path: string | undefined; readonly bytes: Buffer }[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => void chunks.push(chunk));
    request.on("end", () => {
      bodies.push({ path: request.url, bytes: Buffer.concat(chunks) });
      response.setHeader("content-type", "application/x-protobuf").end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // as: it listens on TCP
  const exporter = new OtlpSpanExporter({
    endpoint: `http://127.0.0.1:${port}`,
    protocol: "http",
    serviceName: "reviews",
    nodeId: "shop/reviews-v1-0",
    log: silentLog,
  });
  // The SDK is still loading: what comes meanwhile waits, within bounds.
  exporter.export(Array.from({ length: 2048 }, () => SPAN));
  exporter.export([SPAN]);
  await exporter.shutDown();
  server.close();
  assert.ok(bodies.length > 0);
  assert.equal(bodies[0]?.path, "/v1/traces");
  const bytes = bodies[0]?.bytes ?? Buffer.alloc(0);
  for (const id of [SPAN.traceId, SPAN.spanId, SPAN.parentSpanId])
    assert.ok(bytes.includes(Buffer.from(id, "hex")), id);
  for (const text of [SPAN.name, "vendor=1", "reviews", "shop/reviews-v1-0", "http.response.status_code"])
    assert.ok(bytes.includes(text), text);
  assert.deepEqual([exporter.exported, exporter.dropped], [2048, 1]);
});
