// What relaying one HTTP/2 request and its answer costs in the codec alone: no socket, no filter.
// Run: node bench/micro/http2.ts [ROUNDS]. Heads have 15 fields, about 1 KB, as nghttp2 (node:http2) writes them, with a
// unique path, traceparent and x-request-id each.
import * as http2 from "node:http2";
import { Duplex } from "node:stream";
import { systemClock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { CodecHost, HttpStream, Outbox, StreamHandler } from "#lib/http/stream.ts";
import { makeStreamError } from "#lib/http/stream-error.ts";
import { Http2Client } from "#proxy/http2/client.ts";
import { FLAG, FRAME, readUint31, writeUint32 } from "#proxy/http2/frame.ts";
import { Http2Server } from "#proxy/http2/server.ts";
import { DEFAULT_HTTP2_SETTINGS } from "#proxy/http2/settings.ts";
import { data, frame, plainBlock, settings } from "#proxy/http2/testing/frames.ts";

const REQUESTS = 2000;
const BATCH = 16;
const rounds = Number(process.argv[2] ?? 60);

class NullOutbox implements Outbox {
  buffer = Buffer.alloc(1 << 20);
  position = 0;
  pendingBytes = 0;
  bytesFlushed = 0;
  reserve(): void {
    if (this.position > 900_000) this.position = 0;
  }
  discard(): void {
    this.position = 0;
  }
}

function makeHost(): CodecHost {
  return { out: new NullOutbox(), close: (error) => error && console.log("closed:", error.message), setReading() {} };
}

/** CPU time, which stays meaningful on a busy machine. */
function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function hex(digits: number): string {
  return Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join("");
}

/** What node:http2 writes for the requests, after its preface and settings. */
async function capture(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  const session = http2.connect("http://shop", { createConnection: () => wire });
  session.on("error", () => {});
  wire.push(settings([3, 100_000]));
  await new Promise((resolve) => session.once("remoteSettings", resolve));
  for (let i = 0; i < REQUESTS; i++) {
    const request = session.request({
      ":path": `/api/v1/orders/${hex(12)}?expand=items,customer&page=${i}`,
      accept: "application/json, text/plain, */*",
      "accept-encoding": "gzip, deflate, br",
      "accept-language": "en-US,en;q=0.9,de;q=0.8",
      "content-type": "application/json",
      "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
      referer: "https://shop.example.com/checkout/cart/overview",
      "x-forwarded-for": "10.1.2.3, 10.4.5.6",
      "x-tenant": "blue",
      "x-request-id": `${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}`,
      traceparent: `00-${hex(32)}-${hex(16)}-01`,
      "cache-control": "no-cache",
    });
    request.on("error", () => {});
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  session.destroy();
  return Buffer.concat(chunks);
}

/** Cuts the capture into reads of BATCH requests each. */
function cutReads(bytes: Buffer): Buffer[] {
  const reads: Buffer[] = [];
  let start = 0;
  let count = 0;
  for (let at = 24; at < bytes.length;) {
    const length = 9 + bytes.readUIntBE(at, 3);
    if (bytes[at + 3] === FRAME.RST_STREAM || bytes[at + 3] === FRAME.GOAWAY) break;
    if (bytes[at + 3] === FRAME.HEADERS) count++;
    at += length;
    if (count < BATCH) continue;
    reads.push(bytes.subarray(start, at));
    start = at;
    count = 0;
  }
  return reads;
}

class Relay implements StreamHandler {
  peer: HttpStream | undefined = undefined;
  onHead(head: HeaderBlock, end: boolean): void {
    this.peer?.sendHead(head, end);
  }
  onInformational(): void {}
  onData(bytes: Buffer, start: number, end: number, last: boolean): void {
    this.peer?.sendData(bytes, start, end, last);
  }
  onTrailers(trailers: HeaderBlock): void {
    this.peer?.sendTrailers(trailers);
  }
  onReset(): void {
    console.log("reset");
  }
  onDrain(): void {}
}

const reads = cutReads(await capture());
console.log(
  `${reads.length} reads of ${BATCH} requests, ${Math.round((reads[50]?.length ?? 0) / BATCH)} octets a request`,
);
const answer = Buffer.concat([
  frame(
    FRAME.HEADERS,
    FLAG.END_HEADERS,
    1,
    Buffer.concat([
      Buffer.from([0x88]),
      plainBlock(
        [
          ["content-type", "application/json"],
          ["server", "shop"],
          ["x-id", "1234567890"],
        ],
        0x00,
      ),
    ]),
  ),
  data(1, "hello", true),
]);
const answers = Buffer.concat(Array.from({ length: BATCH }, () => answer));
const second = readUint31(answer, 5) === 1 ? answer.readUIntBE(0, 3) + 9 + 5 : 0;

const upstreamHost = makeHost();
const upstream = new Http2Client(
  upstreamHost,
  { onAvailable() {}, onRetired() {} },
  DEFAULT_HTTP2_SETTINGS,
  systemClock,
);
const greeting = Buffer.concat([settings([3, 100_000], [4, 1 << 30]), frame(FRAME.SETTINGS, FLAG.ACK, 0)]);
upstream.receive(greeting, 0, greeting.length);
upstream.receive(frame(FRAME.WINDOW_UPDATE, 0, 0, Buffer.from([0x7f, 0, 0, 0])), 0, 13);
let nextId = 1;
const costs: number[] = [];
for (let round = 0; round < rounds; round++) {
  const server = new Http2Server(
    makeHost(),
    {
      onStream(stream) {
        const request = new Relay();
        const response = new Relay();
        response.peer = stream;
        request.peer = upstream.open(response);
        return request;
      },
    },
    { ...DEFAULT_HTTP2_SETTINGS, settingsTimeoutMs: 0 },
    systemClock,
  );
  const begin = cpuMicros();
  for (const read of reads) {
    server.receive(read, 0, read.length);
    for (let i = 0; i < BATCH; i++, nextId += 2) {
      writeUint32(answers, i * answer.length + 5, nextId);
      writeUint32(answers, i * answer.length + second, nextId);
    }
    upstream.receive(answers, 0, answers.length);
  }
  costs.push(((cpuMicros() - begin) * 1000) / (reads.length * BATCH));
  server.connectionLost(makeStreamError("transport", "connection", 0, "over"));
}
const late = costs.slice(Math.floor(costs.length / 3)).toSorted((left, right) => left - right);
const at = (share: number): string => (late[Math.floor((late.length - 1) * share)] ?? 0).toFixed(0);
console.log(`relay of request and answer: min ${at(0)} median ${at(0.5)} p90 ${at(0.9)} ns`);
