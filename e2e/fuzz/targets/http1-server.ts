// HTTP/1 requests: request line, fields, chunks, trailers. However they are cut they mean the same; llhttp reads in them what we
// read; and what we send on is one request, the same one, to llhttp too.
import assert from "node:assert/strict";
import http from "node:http";

import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { makeStreamError } from "#lib/http/stream-error.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Client } from "#proxy/http1/client.ts";
import { Http1Server } from "#proxy/http1/server.ts";

import { parseRequests } from "../llhttp.ts";
import { mutateLines } from "../mutate.ts";
import { StrictStream } from "../strict-stream.ts";
import { blur, cuttings, runMicrotasks, seedOf, type Target } from "../target.ts";

/** Small, so that inputs reach them. */
const LIMITS = { maxHeadBytes: 2048, maxHeadCount: 20 };
const OK = Buffer.from("ok");
const METHODS: ReadonlySet<string> = new Set(http.METHODS);

export const REQUEST_WORDS: readonly string[] = [
  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "\r\n",
  "\r\n\r\n",
  "\n",
  "\r",
  "Host: a\r\n",
  "Host: b:1\r\n",
  "Content-Length: 5\r\n",
  "Content-Length: 0\r\n",
  "Content-Length: 05\r\n",
  "content-length:\t3 \r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "transfer-encoding : chunked\r\n",
  "Connection: close\r\n",
  "Connection: keep-alive, x-a, TE\r\n",
  "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
  "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
  "Expect: 100-continue\r\n",
  "TE: trailers\r\n",
  "Trailer: x-t\r\n",
  "Cookie: a=b\r\n",
  "X-A: 1\r\n",
  "X-B:\r\n",
  " folded\r\n",
  "5\r\nhello\r\n",
  "0\r\n\r\n",
  "0\r\nX-T: y\r\n\r\n",
  '3;ext="a"\r\nabc\r\n',
  "000000000005\r\n",
  "HTTP/1.0",
  "HTTP/1.1",
  "GET //[ HTTP/1.1\r\n",
  "CONNECT a:1 ",
  "OPTIONS * ",
  "GET http://a/b ",
  "POST /p?q=%20 ",
  "HEAD ",
  "\0",
  "\x7f",
  "\xa0",
  "\xff",
];

interface Served {
  readonly story: string;
  readonly requests: readonly StrictStream[];
  readonly word: string;
}

/** Serves what comes in these pieces: every whole request is answered at once. */
async function serve(pieces: readonly Buffer[]): Promise<Served> {
  const host = new MemoryHost();
  const requests: StrictStream[] = [];
  const onStream = (stream: HttpStream): StreamHandler => {
    const request = new StrictStream();
    request.stream = stream;
    let isAnswered = false;
    request.onEvent = () => {
      const method = request.head?.get(":method");
      if (isAnswered || !(request.isEnded || method === "CONNECT" || request.head?.has("upgrade") === true)) return;
      isAnswered = true;
      stream.sendHead(HeaderBlock.of([":status", "200"], ["content-length", "2"]), method === "HEAD");
      if (method === "HEAD") return;
      if (method === "CONNECT") stream.sendData(OK, 0, OK.length, false);
      else stream.sendData(OK, 0, OK.length, true);
    };
    requests.push(request);
    return request;
  };
  const server = new Http1Server(host, { onStream }, LIMITS);
  // Read into one buffer, at different places, and overwritten behind each read.
  const buffer = Buffer.alloc(Math.max(1, ...pieces.map(({ length }) => length)) + 8);
  for (const [i, piece] of pieces.entries()) {
    const at = i % 8;
    piece.copy(buffer, at);
    server.receive(buffer, at, at + piece.length);
    buffer.fill(0x0d);
    // oxlint-disable-next-line no-await-in-loop -- what was held back goes on in a microtask
    if (pieces.length < 20) await settle();
    // oxlint-disable-next-line no-await-in-loop
    else await runMicrotasks(4);
  }
  await settle();
  server.receiveEnd();
  await settle();
  // A tunnel is half open for as long as the other half wishes.
  const isTunnel = requests.at(-1)?.head?.get(":method") === "CONNECT";
  if (!isTunnel) assert.equal(server.activeStreams, 0, "a stream is left behind the client's end");
  server.connectionLost(makeStreamError("peer", "connection", 0, "gone"));
  assert.equal(server.activeStreams, 0, "a stream is left behind the connection's end");
  for (const { isEnded, error } of requests) assert.ok(isEnded || error !== undefined, "neither an end nor a reset");
  // A refusal may come as soon as it is clear, or not before the line has ended: only the answers before it must agree.
  const reply = host
    .take()
    .toString("latin1")
    .replace(/HTTP\/1\.1 [45]\d\d [^]*$/, "");
  const story = JSON.stringify([requests.map((request) => request.story), reply]);
  const word = requests.map(({ fields, isEnded, trailers, error }) => [
    fields.length,
    isEnded,
    trailers?.length,
    error?.message,
  ]);
  return { story, requests, word: blur(JSON.stringify([word, host.closeError?.message])) };
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** What our client makes of a request for a server behind us. */
export function forward(request: StrictStream): Buffer | undefined {
  const host = new MemoryHost();
  const client = new Http1Client(host, { onAvailable: () => undefined, onRetired: () => undefined });
  const stream = client.open(new StrictStream());
  const { head, body, trailers } = request;
  if (head === undefined) return undefined;
  const bytes = Buffer.from(body, "latin1");
  const isOnlyHead = bytes.length === 0 && trailers === undefined;
  stream.sendHead(head, isOnlyHead);
  if (!isOnlyHead) stream.sendData(bytes, 0, bytes.length, trailers === undefined);
  if (trailers !== undefined) stream.sendTrailers(HeaderBlock.of(...trailers));
  // Given up: it cannot be said in HTTP/1, and nothing of it goes out.
  if (host.isClosed || client.isAvailable) return undefined;
  return host.take();
}

/** The smuggling oracle: what we send on for this request is one request, this one, to a parser that is not ours. */
export async function checkForwarded(request: StrictStream): Promise<void> {
  const bytes = forward(request);
  const head = request.head;
  if (bytes === undefined || head === undefined) return;
  const method = head.get(":method") ?? "";
  if (!METHODS.has(method)) return;
  const text = JSON.stringify(bytes.toString("latin1"));
  const { requests, error } = await parseRequests(bytes);
  const [parsed, second] = requests;
  assert.ok(
    parsed !== undefined && second === undefined,
    `sent on, these are ${requests.length} requests (${error}): ${text}`,
  );
  assert.equal(error, undefined, `sent on, this is no HTTP to llhttp: ${text}`);
  assert.equal(parsed.method, method);
  assert.equal(parsed.url, method === "CONNECT" ? head.get(":authority") : head.get(":path"), text);
  if (method !== "CONNECT" && !head.has("upgrade")) {
    assert.ok(parsed.isComplete, `sent on, it has no end: ${text}`);
    assert.equal(parsed.body, request.body, text);
  }
  const hosts = parsed.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === "host");
  assert.equal(hosts.length, 1, `sent on, it has ${hosts.length} hosts: ${text}`);
}

/** Of a whole input: llhttp reads the same requests, as far as we took them. */
async function checkAccepted(input: Buffer, served: readonly StrictStream[]): Promise<void> {
  const taken = served.filter(({ isEnded, error }) => isEnded && error === undefined);
  if (taken.length === 0) return;
  const { requests, error } = await parseRequests(input);
  for (const [i, { head, body }] of taken.entries()) {
    const method = head?.get(":method") ?? "";
    const parsed = requests[i];
    // llhttp knows a list of methods, and no others; what follows CONNECT or an Upgrade is no HTTP to it, whatever we answer.
    if (!METHODS.has(method) || method === "CONNECT" || method === "PRI") return;
    assert.ok(parsed !== undefined, `llhttp sees only ${requests.length} of ${taken.length} requests (${error})`);
    assert.equal(parsed.method, method, "another method than llhttp's");
    const path = head?.get(":path") ?? "";
    assert.ok(parsed.url === path || /^https?:\/\//i.test(parsed.url), `${parsed.url} is ${path} to us`);
    if (hasUpgrade(parsed.rawHeaders)) return;
    assert.equal(body, parsed.body, "another body than llhttp's");
  }
}

function hasUpgrade(rawHeaders: readonly string[]): boolean {
  return rawHeaders.some((name, i) => i % 2 === 0 && name.toLowerCase() === "upgrade");
}

export const http1Server: Target = {
  name: "http1-server",
  covers: ["/proxy/http1/", "/lib/http/header-block.ts"],
  words: REQUEST_WORDS,
  isLinear: true,
  seeds: () =>
    [
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /a?b=c HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-t\r\n\r\n5;e=1\r\nhello\r\n3\r\nabc\r\n0\r\nX-T: v\r\n\r\n",
      "GET http://b/c HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
      "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nbytes",
      "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-b\r\nX-B: 1\r\n\r\n",
      "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      "HEAD / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
      "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\nCookie: a=b\r\nCookie: c=d\r\n\r\nabc",
    ].map((text) => Buffer.from(text, "latin1")),
  mutate: (input, random) => mutateLines(input, random, random.next() < 0.7 ? "\r\n" : " "),
  async run(input) {
    let first: Served | undefined;
    for (const pieces of cuttings(input, makeSeededRandom(seedOf(input)))) {
      // oxlint-disable-next-line no-await-in-loop -- one connection after the other
      const served = await serve(pieces);
      first ??= served;
      assert.equal(served.story, first.story, `cut into ${pieces.length}`);
    }
    if (first === undefined) return "nothing";
    for (const request of first.requests) {
      // oxlint-disable-next-line no-await-in-loop
      if (request.isEnded) await checkForwarded(request);
    }
    await checkAccepted(input, first.requests);
    return first.word;
  },
};
