// The demo's eyes see what is there: metrics, spans in both encodings, connections of a process.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { request } from "undici";
import { AccessLogReader } from "./access-records.ts";
import { connectionsOf } from "./connections.ts";
import { startOtlpReceiver } from "./otlp-receiver.ts";
import { spansOfProtobuf } from "./otlp-spans.ts";
import { parsePrometheus } from "./prometheus.ts";

test("samples are read with their labels unescaped, comments and times left out", () => {
  const samples = parsePrometheus(
    '# HELP requests_total All.\nrequests_total{code="200",to="a\\"b"} 3\nrequests_total{code="503"} 2 1700000000\nup 1\n',
  );
  assert.deepEqual(samples, [
    { name: "requests_total", labels: { code: "200", to: 'a"b' }, value: 3 },
    { name: "requests_total", labels: { code: "503" }, value: 2 },
    { name: "up", labels: {}, value: 1 },
  ]);
});

/** One field of wire type 2. */
function field(number: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([number * 8 + 2, body.length]), body]);
}

const traceId = "0af7651916cd43dd8448eb211c80319c";
const exportRequest = field(
  1,
  field(1, field(1, field(1, "service.name"), field(2, field(1, "reviews")))),
  field(
    2,
    field(
      2,
      field(1, Buffer.from(traceId, "hex")),
      field(2, Buffer.from("b7ad6b7169203331", "hex")),
      field(5, "GET"),
      Buffer.from([6 * 8, 2]),
      Buffer.from([7 * 8 + 1, 0, 0, 0, 0, 0, 0, 0, 0]),
    ),
  ),
);
const expected = [
  {
    service: "reviews",
    traceId,
    spanId: "b7ad6b7169203331",
    parentSpanId: "",
    name: "GET",
    kind: "server",
    attributes: {},
    traceState: "",
  },
];

test("a span is the same in protobuf, gzipped, and in JSON", async () => {
  assert.deepEqual(spansOfProtobuf(exportRequest), expected);
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  probe.close();
  await once(probe, "close");
  const receiver = await startOtlpReceiver(port);
  const url = `http://127.0.0.1:${port}/v1/traces`;
  const protobuf = { "content-type": "application/x-protobuf", "content-encoding": "gzip" };
  await (await request(url, { method: "POST", headers: protobuf, body: gzipSync(exportRequest) })).body.dump();
  assert.deepEqual(receiver.spansOf(traceId), expected);
  const attributes = [{ key: "service.name", value: { stringValue: "reviews" } }];
  const span = { traceId, spanId: "b7ad6b7169203331", name: "GET", kind: 2 };
  const json = { resourceSpans: [{ resource: { attributes }, scopeSpans: [{ spans: [span] }] }] };
  const reply = await request(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(json),
  });
  await reply.body.dump();
  assert.deepEqual(receiver.spansOf(traceId), [...expected, ...expected]);
  await receiver.close();
});

test("bytes that are no protobuf message are refused, not read past their end", () => {
  assert.throws(() => spansOfProtobuf(Buffer.from([10, 200, 1])), /not a protobuf message/u);
  assert.throws(() => spansOfProtobuf(Buffer.from([255])), /not a protobuf message/u);
});

test("a line that is no access record is left out", () => {
  const log = new AccessLogReader();
  log.push('{"message":"ready"}');
  log.push("{ broken response_flags");
  log.push('{"request_id":"r-1","status":429,"response_flags":"RL","path":"/publish"}');
  assert.equal(log.records.length, 1);
  assert.equal(log.byRequestId("r-1")?.flags, "RL");
});

test(
  "the kernel's table tells how many connections a process has to a port",
  { skip: process.platform !== "linux" },
  async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const sockets = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    const found = await connectionsOf(process.pid);
    assert.equal(found?.filter((connection) => connection.remotePort === port).length, 2);
    for (const socket of sockets) socket.destroy();
    server.close();
  },
);
