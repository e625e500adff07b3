// One connection's share of a turn of the event loop.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http2Server } from "./server.ts";
import { get, PREFACE, settings, settingsAck } from "./testing/frames.ts";
import { makeSettings, RecordingHandler } from "./testing/recorder.ts";

/** A host with other connections to care for. */
class TurnHost extends MemoryHost {
  turn = 1;
  rests = 0;

  rest(): void {
    this.rests++;
  }
}

function serve(): { host: TurnHost; handler: RecordingHandler; server: Http2Server } {
  const host = new TurnHost();
  const handler = new RecordingHandler();
  const server = new Http2Server(host, handler, makeSettings({ maxConcurrentStreams: 1000 }), new FakeClock());
  const begin = Buffer.concat([PREFACE, settings(), settingsAck()]);
  server.receive(begin, 0, begin.length);
  host.turn++;
  return { host, handler, server };
}

function requests(count: number, first = 1): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => get(first + 2 * i, ["number", String(first + 2 * i)])));
}

describe("a connection that sends many frames at once", () => {
  it("has 64 of them handled in one turn, and the others in order in those that follow", () => {
    const { host, handler, server } = serve();
    const bytes = requests(150);
    server.receive(bytes, 0, bytes.length);
    assert.deepEqual([handler.requests.length, host.rests], [64, 1]);
    // The buffer is used for other connections meanwhile.
    bytes.fill(0);
    host.turn++;
    server.onTurn();
    assert.deepEqual([handler.requests.length, host.rests], [128, 2]);
    host.turn++;
    server.onTurn();
    assert.deepEqual([handler.requests.length, host.rests], [150, 2]);
    assert.deepEqual(
      handler.requests.map(({ fields }) => fields.find(([name]) => name === "number")?.[1]),
      Array.from({ length: 150 }, (_, i) => String(1 + 2 * i)),
    );
  });

  it("shares one turn's 64 among all that it reads in that turn", () => {
    const { host, handler, server } = serve();
    for (const first of [1, 81, 161]) {
      const bytes = requests(40, first);
      server.receive(bytes, 0, bytes.length);
    }
    assert.equal(handler.requests.length, 64);
    host.turn++;
    server.onTurn();
    assert.equal(handler.requests.length, 120);
  });

  it("has its end heard only when all that came before it was", () => {
    const { host, handler, server } = serve();
    const bytes = requests(100);
    server.receive(bytes, 0, bytes.length);
    server.receiveEnd();
    assert.deepEqual([server.isDraining, handler.requests.length], [false, 64]);
    host.turn++;
    server.onTurn();
    assert.deepEqual([server.isDraining, handler.requests.length], [true, 100]);
  });
});
