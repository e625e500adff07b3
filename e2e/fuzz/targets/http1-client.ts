// HTTP/1 answers: status line, fields, bodies by length, by chunks and until the end. However they are cut they mean the same, and
// llhttp reads in them what we read. The first octet says which request was sent.
import assert from "node:assert/strict";

import { HeaderBlock } from "#lib/http/header-block.ts";
import { makeStreamError } from "#lib/http/stream-error.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Client } from "#proxy/http1/client.ts";

import { parseResponse } from "../llhttp.ts";
import { mutateLines } from "../mutate.ts";
import { StrictStream } from "../strict-stream.ts";
import { blur, cuttings, runMicrotasks, seedOf, type Target } from "../target.ts";
import { REQUEST_WORDS } from "./http1-server.ts";

const METHODS = ["GET", "HEAD", "POST", "CONNECT", "UPGRADE"] as const;
type Method = (typeof METHODS)[number];

const LIMITS = { maxHeadBytes: 2048, maxHeadCount: 20 };

async function ask(
  method: Method,
  pieces: readonly Buffer[],
): Promise<{ story: string; answer: StrictStream; word: string }> {
  const host = new MemoryHost();
  let retired = 0;
  const handler = { onAvailable: () => undefined, onRetired: () => void retired++ };
  const client = new Http1Client(host, handler, LIMITS);
  const answer = new StrictStream();
  const stream = client.open(answer);
  answer.stream = stream;
  const upgrade = [
    ["connection", "upgrade"],
    ["upgrade", "websocket"],
  ] as const;
  const head = HeaderBlock.of(
    [":method", method === "UPGRADE" ? "GET" : method],
    [":authority", "a:1"],
    [":path", "/"],
    ...(method === "UPGRADE" ? upgrade : []),
  );
  stream.sendHead(head, method === "GET" || method === "HEAD" || method === "POST");
  host.take();
  for (const piece of pieces) {
    const own = Buffer.from(piece);
    client.receive(own, 0, own.length);
    own.fill(0x0d);
    // oxlint-disable-next-line no-await-in-loop -- the end of an answer is settled in a microtask
    await runMicrotasks(3);
  }
  const isKept = client.isAvailable;
  client.receiveEnd();
  await runMicrotasks(3);
  if (answer.isEnded && !["CONNECT", "UPGRADE"].includes(method))
    assert.equal(client.activeStreams, 0, "a stream is left");
  client.connectionLost(makeStreamError("peer", "connection", 0, "gone"));
  assert.equal(client.activeStreams, 0, "a stream is left");
  assert.ok(answer.isEnded || answer.error !== undefined, "neither an end nor a reset");
  assert.ok(retired <= 1 && !client.isAvailable);
  const story = JSON.stringify([answer.story, isKept]);
  const word = [
    answer.fields.length,
    answer.fields[0],
    answer.isEnded,
    answer.trailers?.length,
    answer.error?.message,
    isKept,
  ];
  return { story, answer, word: blur(JSON.stringify(word)) };
}

export const http1Client: Target = {
  name: "http1-client",
  covers: ["/proxy/http1/", "/lib/http/header-block.ts"],
  isLinear: true,
  words: [
    ...REQUEST_WORDS,
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HTTP/1.0 ",
    " 204 ",
    " 304 ",
    "Keep-Alive: timeout=5, max=3\r\n",
  ],
  seeds: () =>
    [
      "\0HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
      "\0HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
      "\0HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nuntil the end",
      "\x01HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5, max=3\r\n\r\n",
      "\x02HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
      "\x03HTTP/1.1 200 Connected\r\n\r\ntunnel",
      "\x03HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
      "\x04HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes",
      '\0HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: "a"\r\n\r\n',
    ].map((text) => Buffer.from(text, "latin1")),
  mutate: (input, random) => mutateLines(input, random, "\r\n"),
  async run(input) {
    const method = METHODS[(input[0] ?? 0) % METHODS.length] ?? "GET";
    const bytes = input.subarray(1);
    let first: Awaited<ReturnType<typeof ask>> | undefined;
    for (const pieces of cuttings(bytes, makeSeededRandom(seedOf(input)))) {
      // oxlint-disable-next-line no-await-in-loop -- one connection after the other
      const asked = await ask(method, pieces);
      first ??= asked;
      assert.equal(asked.story, first.story, `cut into ${pieces.length}`);
    }
    const answer = first?.answer;
    if (answer === undefined || !answer.isEnded || answer.error !== undefined) return first?.word ?? "";
    if (method === "CONNECT" || method === "UPGRADE") return first?.word ?? "";
    const parsed = await parseResponse(bytes, method);
    // An interim answer that says `Connection: close` ends the connection for llhttp; the final answer is still to come (RFC 9110 §15.2).
    if (parsed.error === "HPE_CLOSED_CONNECTION" && parsed.status === 0) return first?.word ?? "";
    assert.equal(answer.head?.get(":status"), String(parsed.status), `another status than llhttp's (${parsed.error})`);
    assert.equal(answer.body, parsed.body, `another body than llhttp's (${parsed.error})`);
    assert.ok(parsed.isComplete, `llhttp sees no end (${parsed.error})`);
    return first?.word ?? "";
  },
};
