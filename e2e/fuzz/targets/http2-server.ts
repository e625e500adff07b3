// HTTP/2 as a server reads it: frames, HPACK, settings, the state of connection and streams. However the bytes are cut they mean the
// same; what is accepted can be sent on in HTTP/1 as one request; windows are kept; no stream is left behind.
import assert from "node:assert/strict";

import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { makeStreamError } from "#lib/http/stream-error.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { FRAME } from "#proxy/http2/frame.ts";
import { HpackDecoder } from "#proxy/http2/hpack-decoder.ts";
import { Http2Server } from "#proxy/http2/server.ts";
import { data, get, headers, POST, PREFACE, settings, settingsAck, uint32 } from "#proxy/http2/testing/frames.ts";
import { makeSettings } from "#proxy/http2/testing/recorder.ts";

import { StrictStream } from "../strict-stream.ts";
import { blur, cuttings, seedOf, type Target } from "../target.ts";
import { BLOCKS, cutFrames, FRAMES, mutateFrames } from "./frames.ts";
import { checkForwarded } from "./http1-server.ts";

const SETTINGS = makeSettings({ maxHeadersBytes: 2048, maxHeadersCount: 20, maxConcurrentStreams: 8 });
const HELLO = Buffer.from("hello from the other side");

interface Served {
  readonly story: string;
  readonly requests: readonly StrictStream[];
  readonly word: string;
}

function serve(pieces: readonly Buffer[], begins: Buffer, input: Buffer): Served {
  const host = new MemoryHost();
  const requests: StrictStream[] = [];
  const onStream = (stream: HttpStream): StreamHandler => {
    const request = new StrictStream();
    request.stream = stream;
    let isAnswered = false;
    request.onEvent = () => {
      if (isAnswered || !request.isEnded) return;
      isAnswered = true;
      stream.sendHead(HeaderBlock.of([":status", "200"], ["x-answer", "b"]), false);
      stream.sendData(HELLO, 0, HELLO.length, requests.length % 2 === 0);
      if (requests.length % 2 === 1) stream.sendTrailers(HeaderBlock.of(["x-trailer", "t"]));
    };
    requests.push(request);
    return request;
  };
  const server = new Http2Server(host, { onStream }, SETTINGS, new FakeClock());
  server.receive(begins, 0, begins.length);
  const buffer = Buffer.alloc(Math.max(1, ...pieces.map(({ length }) => length)) + 16);
  for (const [i, piece] of pieces.entries()) {
    const at = 1 + (i % 8);
    piece.copy(buffer, at);
    server.receive(buffer, at, at + piece.length);
    buffer.fill(0xff);
  }
  const isClosed = host.isClosed;
  if (isClosed) assert.equal(server.activeStreams, 0, "streams are left on a closed connection");
  const written = host.take();
  checkWritten(written, input, false);
  server.receiveEnd();
  server.connectionLost(makeStreamError("peer", "connection", 0, "gone"));
  assert.equal(server.activeStreams, 0, "streams are left behind the connection's end");
  const story = JSON.stringify([requests.map((request) => request.story), isClosed, host.closeError?.code]);
  const word = requests.map(({ fields, isEnded, trailers, error }) => [
    fields.length,
    isEnded,
    trailers?.length,
    error?.message,
  ]);
  return { story, requests, word: blur(JSON.stringify([host.closeError?.message, word])) };
}

/** `hasSent`: before the first of these bytes came. What is written are whole frames of legal sizes, header blocks that can be decoded, and no more DATA than the peer allowed. */
export function checkWritten(written: Buffer, received: Buffer, hasSent: boolean): void {
  const { frames, rest } = cutFrames(written);
  assert.equal(rest.length, 0, "half a frame was written");
  const decoder = new HpackDecoder(65536, 65536, 1000);
  const sent = new Map<number, number>();
  for (const one of frames) {
    const [type, flags, id] = [one[3], one[4] ?? 0, one.readUInt32BE(5)];
    assert.ok(one.length <= 9 + 16_384, "a frame above the peer's limit");
    if (type === FRAME.DATA) for (const key of [0, id]) sent.set(key, (sent.get(key) ?? 0) + one.length - 9);
    if (type !== FRAME.HEADERS) continue;
    assert.equal(flags & 0x2c, 4, "HEADERS of ours are whole, without padding or priority");
    const block = new HeaderBlock();
    assert.ok(decoder.decode(one, 9, one.length, block), "a header block that cannot be decoded");
    block.forEach((name, value) => assert.ok(!/[\r\n\0]/.test(name + value), `CR, LF or NUL in ${name}`));
  }
  // The window that streams begin with: the last that was said before there were any, the largest from then on.
  let initial = 65535;
  let mayHaveStreams = hasSent;
  const granted = new Map<number, number>();
  for (const one of cutFrames(received).frames) {
    const id = one.readUInt32BE(5) & 0x7fffffff;
    if (one[3] === FRAME.HEADERS) mayHaveStreams = true;
    if (one[3] === FRAME.SETTINGS && (one[4] ?? 0) % 2 === 0) {
      for (let at = 9; at + 6 <= one.length; at += 6) {
        if (one.readUInt16BE(at) !== 4) continue;
        const said = one.readUInt32BE(at + 2);
        initial = mayHaveStreams ? Math.max(initial, said) : said;
      }
    }
    if (one[3] === FRAME.WINDOW_UPDATE && one.length === 13)
      granted.set(id, (granted.get(id) ?? 0) + (one.readUInt32BE(9) & 0x7fffffff));
  }
  for (const [id, bytes] of sent) {
    const most = (id === 0 ? 65535 : initial) + (granted.get(id) ?? 0);
    assert.ok(bytes <= most, `${bytes} octets of DATA on stream ${id}, where ${most} were allowed`);
  }
}

export const http2Server: Target = {
  name: "http2-server",
  covers: ["/proxy/http2/", "/lib/http/header-block.ts"],
  words: [...FRAMES, ...BLOCKS],
  isLinear: true,
  seeds: () => [
    Buffer.concat([get(1), get(3, ["x-a", "b"])]),
    Buffer.concat([headers(1, POST, false), data(1, "hello", false), headers(1, [["x-trailer", "t"]], true)]),
    Buffer.concat([settings([4, 3]), get(1), uint32(FRAME.WINDOW_UPDATE, 1, 10), settings([4, 100])]),
    Buffer.concat([headers(1, POST, false), uint32(FRAME.RST_STREAM, 1, 8), data(1, "late", true), get(3)]),
    Buffer.concat([settings([1, 0]), get(1), settings([1, 4096]), get(3)]),
    Buffer.concat(FRAMES.slice(0, 9)),
    Buffer.concat(FRAMES.slice(30, 36)),
  ],
  mutate: mutateFrames,
  async run(input) {
    const begins = Buffer.concat([PREFACE, settings(), settingsAck()]);
    let first: Served | undefined;
    for (const pieces of cuttings(input, makeSeededRandom(seedOf(input)))) {
      const served = serve(pieces, begins, input);
      first ??= served;
      assert.equal(served.story, first.story, `cut into ${pieces.length}`);
    }
    for (const request of first?.requests ?? []) {
      // oxlint-disable-next-line no-await-in-loop -- one parser after the other
      if (request.isEnded && request.error === undefined) await checkForwarded(request);
    }
    return first?.word ?? "";
  },
};
