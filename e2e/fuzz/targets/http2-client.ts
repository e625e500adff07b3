// HTTP/2 as a client reads it: three requests wait for their answers. However the bytes are cut they mean the same; windows are kept;
// no stream is left behind.
import assert from "node:assert/strict";

import { HeaderBlock } from "#lib/http/header-block.ts";
import { makeStreamError } from "#lib/http/stream-error.ts";
import { makeSeededRandom } from "#lib/random.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http2Client } from "#proxy/http2/client.ts";
import { FRAME } from "#proxy/http2/frame.ts";
import { PREFACE, data, GET, headers, POST, settings, settingsAck, uint32 } from "#proxy/http2/testing/frames.ts";
import { makeSettings } from "#proxy/http2/testing/recorder.ts";

import { StrictStream } from "../strict-stream.ts";
import { blur, cuttings, seedOf, type Target } from "../target.ts";
import { BLOCKS, FRAMES, mutateFrames } from "./frames.ts";
import { checkWritten } from "./http2-server.ts";

const SETTINGS = makeSettings({ maxHeadersBytes: 2048, maxHeadersCount: 20 });
const UPLOAD = Buffer.alloc(300, "u");

function ask(pieces: readonly Buffer[], input: Buffer): { readonly story: string; readonly word: string } {
  const host = new MemoryHost();
  const told = { available: 0, retired: 0 };
  const handler = { onAvailable: () => void told.available++, onRetired: () => void told.retired++ };
  const client = new Http2Client(host, handler, SETTINGS, new FakeClock());
  const begins = Buffer.concat([settings(), settingsAck()]);
  client.receive(begins, 0, begins.length);
  const answers = [GET, POST, POST].map((fields, i) => {
    const answer = new StrictStream();
    const stream = client.open(answer);
    answer.stream = stream;
    stream.sendHead(HeaderBlock.of(...fields), i === 0);
    if (i > 0) stream.sendData(UPLOAD, 0, UPLOAD.length, i === 1);
    return answer;
  });
  for (const piece of pieces) {
    const own = Buffer.concat([Buffer.from([0]), piece]);
    client.receive(own, 1, own.length);
    own.fill(0xff);
  }
  const isClosed = host.isClosed;
  if (isClosed) assert.equal(client.activeStreams, 0, "streams are left on a closed connection");
  assert.ok(told.retired <= 1, "retired twice");
  const written = host.take();
  if (written.length > 0) checkWritten(written.subarray(PREFACE.length), input, true);
  client.receiveEnd();
  client.connectionLost(makeStreamError("peer", "connection", 0, "gone"));
  assert.equal(client.activeStreams, 0, "streams are left behind the connection's end");
  for (const { isEnded, error } of answers) assert.ok(isEnded || error !== undefined, "neither an end nor a reset");
  const story = JSON.stringify([answers.map((answer) => answer.story), isClosed, host.closeError?.code]);
  const word = answers.map(({ fields, isEnded, trailers, error }) => [
    fields.length,
    isEnded,
    trailers?.length,
    error?.message,
  ]);
  return { story, word: blur(JSON.stringify([host.closeError?.message, word])) };
}

export const http2Client: Target = {
  name: "http2-client",
  covers: ["/proxy/http2/", "/lib/http/header-block.ts"],
  words: [...FRAMES, ...BLOCKS],
  isLinear: true,
  seeds: () => [
    Buffer.concat([
      headers(
        1,
        [
          [":status", "200"],
          ["x-a", "b"],
        ],
        false,
      ),
      data(1, "hello", true),
    ]),
    Buffer.concat([
      headers(3, [[":status", "100"]], false),
      headers(3, [[":status", "200"]], false),
      headers(3, [["x-t", "v"]], true),
    ]),
    Buffer.concat([settings([4, 1]), headers(5, [[":status", "413"]], true), uint32(FRAME.RST_STREAM, 5, 0)]),
    Buffer.concat([...FRAMES.slice(26, 29), headers(1, [[":status", "204"]], true)]),
    Buffer.concat(FRAMES.slice(12, 24)),
  ],
  mutate: mutateFrames,
  run(input) {
    let first: ReturnType<typeof ask> | undefined;
    for (const pieces of cuttings(input, makeSeededRandom(seedOf(input)))) {
      const asked = ask(pieces, input);
      first ??= asked;
      assert.equal(asked.story, first.story, `cut into ${pieces.length}`);
    }
    return first?.word ?? "";
  },
};
