// The limits of a connection on a clock that is moved by hand, with the real codecs over a connection in memory.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HeaderBlock } from "#lib/http/header-block.ts";
import type { HttpStream, StreamHandler } from "#lib/http/stream.ts";
import { FakeClock } from "#lib/testing/fake-clock.ts";
import { MemoryHost } from "#lib/testing/memory-host.ts";
import { Http1Server } from "#proxy/http1/server.ts";
import { Http2Server } from "#proxy/http2/server.ts";
import { DEFAULT_HTTP2_SETTINGS } from "#proxy/http2/settings.ts";

import { ConnectionLimits, type ConnectionLimitSettings, type LimitedCodec } from "./connection-limits.ts";

const OFF: ConnectionLimitSettings = {
  idleTimeoutMs: 0,
  requestHeadersTimeoutMs: 0,
  streamIdleTimeoutMs: 0,
  maxConnectionDurationMs: 0,
  maxRequestsPerConnection: 0,
};
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const GOAWAY = 7;

function frame(type: number, flags: number, streamId: number, payload: readonly number[] = []): Buffer {
  return Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, streamId, ...payload]);
}
/** `:method GET`, `:scheme http`, `:path /`, `:authority a`, all indexed but the last. */
const HEAD = [0x82, 0x86, 0x84, 0x41, 0x01, 0x61];

class Bench {
  readonly clock = new FakeClock();
  readonly host = new MemoryHost();
  readonly limits: ConnectionLimits;
  readonly codec: LimitedCodec;
  readonly streams: HttpStream[] = [];
  afterEvents = (callback: () => void): void => callback();

  constructor(protocol: "http1" | "http2", settings: Partial<ConnectionLimitSettings>) {
    this.limits = new ConnectionLimits(this.clock, { ...OFF, ...settings }, (callback) => this.afterEvents(callback));
    const handler = {
      onStream: (stream: HttpStream): StreamHandler => {
        this.limits.streamStarted();
        this.streams.push(stream);
        return {
          onHead: () => undefined,
          onInformational: () => undefined,
          onData: () => undefined,
          onTrailers: () => undefined,
          onReset: () => undefined,
          onDrain: () => undefined,
        };
      },
    };
    this.codec =
      protocol === "http1"
        ? new Http1Server(this.host, handler)
        : new Http2Server(this.host, handler, DEFAULT_HTTP2_SETTINGS, this.clock, { drainPingMs: 200 });
    this.limits.watch(this.codec);
    if (protocol === "http2") this.receive(PREFACE, frame(4, 0, 0));
  }

  receive(...parts: readonly (Buffer | string)[]): void {
    const bytes = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
    this.codec.receive(bytes, 0, bytes.length);
    this.limits.received();
  }

  answer(): void {
    this.streams.shift()?.sendHead(HeaderBlock.of([":status", "204"]), true);
    this.limits.streamEnded(this.clock.nowMs());
  }

  written(): string {
    return this.host.take().toString("latin1");
  }

  hasGoaway(): boolean {
    const bytes = this.host.take();
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
      if (bytes[at + 3] === GOAWAY) return true;
    return false;
  }
}

describe("a connection without streams", () => {
  it("closes when the idle time is over, counted from the end of its last request", () => {
    const bench = new Bench("http1", { idleTimeoutMs: 1000 });
    bench.clock.advance(900);
    bench.receive(GET);
    bench.clock.advance(500);
    bench.answer();
    bench.clock.advance(999);
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(1001);
    assert.equal(bench.host.isClosed, true);
  });

  it("serves the request that comes when its time is over, and says that it is the last", () => {
    const bench = new Bench("http1", { idleTimeoutMs: 1000 });
    bench.clock.advance(1001);
    bench.receive(GET);
    bench.answer();
    assert.match(bench.written(), /204 No Content\r\n(?:.*\r\n)*Connection: close\r\n/);
    assert.equal(bench.host.isClosed, true);
  });

  it("reads what lies in its socket before it closes", () => {
    const bench = new Bench("http1", { idleTimeoutMs: 1000 });
    bench.afterEvents = (callback) => {
      bench.receive(GET);
      callback();
    };
    bench.clock.advance(2001);
    assert.equal(bench.host.isClosed, false);
    bench.answer();
    assert.match(bench.written(), /Connection: close/);
    assert.equal(bench.host.isClosed, true);
  });

  it("is not idle while a request runs, however long", () => {
    const bench = new Bench("http1", { idleTimeoutMs: 1000 });
    bench.receive(GET);
    bench.clock.advance(10_000);
    assert.equal(bench.host.isClosed, false);
    bench.answer();
    assert.match(bench.written(), /204 No Content/);
    assert.equal(bench.host.isClosed, false);
  });

  it("gets GOAWAY on HTTP/2, and closes even where the peer is silent", () => {
    const bench = new Bench("http2", { idleTimeoutMs: 1000 });
    bench.clock.advance(999);
    assert.equal(bench.hasGoaway(), false);
    bench.clock.advance(1);
    assert.equal(bench.hasGoaway(), true);
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(200);
    assert.equal(bench.host.isClosed, true);
  });
});

describe("a head that comes slowly", () => {
  it("is answered 408 on HTTP/1, and the connection closed", () => {
    const bench = new Bench("http1", { requestHeadersTimeoutMs: 500 });
    bench.clock.advance(5000);
    bench.receive("GET / HTTP/1.1\r\n");
    bench.clock.advance(300);
    bench.receive("host: a\r\n");
    bench.clock.advance(199);
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(1);
    assert.match(bench.written(), /^HTTP\/1\.1 408 Request Timeout\r\n/);
    assert.equal(bench.host.isClosed, true);
  });

  it("has its own time for each request, also when one read holds the end of one and the beginning of the next", () => {
    const bench = new Bench("http1", { requestHeadersTimeoutMs: 500 });
    bench.receive("GET / HTTP/1.1\r\n");
    bench.clock.advance(400);
    bench.receive("host: a\r\n\r\n");
    bench.answer();
    bench.receive("GET / HTTP/1.1\r\n");
    bench.clock.advance(400);
    assert.equal(bench.host.isClosed, false);
    bench.receive("host: a\r\n\r\n");
    bench.answer();
    bench.clock.advance(5000);
    assert.equal(bench.host.isClosed, false);
  });

  it("ends an HTTP/2 connection on which HEADERS do not end, in a cut frame or before CONTINUATION", () => {
    for (const bytes of [frame(1, 5, 1, HEAD).subarray(0, 12), frame(1, 1, 1, HEAD)]) {
      const bench = new Bench("http2", { requestHeadersTimeoutMs: 500 });
      bench.receive(bytes);
      bench.clock.advance(499);
      assert.equal(bench.host.isClosed, false);
      bench.clock.advance(1);
      assert.equal(bench.hasGoaway(), true);
      assert.equal(bench.host.isClosed, true);
    }
  });
});

describe("a connection that is old enough", () => {
  it("ends after the request that runs, with `Connection: close`", () => {
    const bench = new Bench("http1", { maxConnectionDurationMs: 1000 });
    bench.receive(GET);
    bench.clock.advance(3000);
    assert.equal(bench.host.isClosed, false);
    bench.answer();
    assert.match(bench.written(), /connection: close/i);
    assert.equal(bench.host.isClosed, true);
  });

  it("lets an idle HTTP/1 client have one more request before it closes", () => {
    const bench = new Bench("http1", { maxConnectionDurationMs: 1000 });
    bench.clock.advance(1500);
    assert.equal(bench.host.isClosed, false);
    bench.receive(GET);
    bench.answer();
    assert.match(bench.written(), /connection: close/i);
    assert.equal(bench.host.isClosed, true);
  });

  it("closes an idle HTTP/1 connection on which nothing comes for a second", () => {
    const bench = new Bench("http1", { maxConnectionDurationMs: 1000 });
    bench.clock.advance(1999);
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(1);
    assert.equal(bench.host.isClosed, true);
  });

  it("gets GOAWAY on HTTP/2 and serves what was sent before the client saw it", () => {
    const bench = new Bench("http2", { maxConnectionDurationMs: 1000 });
    bench.clock.advance(1000);
    assert.equal(bench.hasGoaway(), true);
    bench.receive(frame(1, 5, 1, HEAD));
    assert.equal(bench.streams.length, 1);
    bench.clock.advance(5000);
    assert.equal(bench.host.isClosed, false);
    bench.answer();
    assert.equal(bench.host.isClosed, true);
  });
});

it("an HTTP/2 connection says GOAWAY at its last request", () => {
  const bench = new Bench("http2", { maxRequestsPerConnection: 2 });
  bench.receive(frame(1, 5, 1, HEAD));
  assert.equal(bench.hasGoaway(), false);
  bench.receive(frame(1, 5, 3, HEAD));
  assert.equal(bench.hasGoaway(), true);
});

it("a connection that is gone leaves no timer behind", () => {
  const bench = new Bench("http1", {
    idleTimeoutMs: 1000,
    maxConnectionDurationMs: 1000,
    requestHeadersTimeoutMs: 1000,
  });
  bench.receive("GET /");
  assert.equal(bench.clock.pendingTimers, 3);
  bench.limits.stop();
  assert.equal(bench.clock.pendingTimers, 0);
});

describe("a client that drips", () => {
  it("its head is ended by the head's limit with 408, not by the idle time", () => {
    const bench = new Bench("http1", { idleTimeoutMs: 100, requestHeadersTimeoutMs: 500 });
    bench.receive(Buffer.from("GET / HT"));
    bench.limits.received();
    bench.clock.advance(400);
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(101);
    assert.match(bench.host.take().toString("latin1"), /^HTTP\/1\.1 408 /);
    assert.equal(bench.host.isClosed, true);
  });

  it("its head is ended by the stream's idle time where heads have no limit", () => {
    const bench = new Bench("http1", { streamIdleTimeoutMs: 300 });
    bench.receive(Buffer.from("GET / HT"));
    bench.limits.received();
    bench.clock.advance(301);
    assert.equal(bench.host.isClosed, true);
  });

  it("the rest of a body that was answered already holds the connection for a second", () => {
    const bench = new Bench("http1", {});
    bench.receive(Buffer.from("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx"));
    bench.streams[0]?.sendHead(HeaderBlock.of([":status", "408"], ["content-length", "0"]), true);
    bench.limits.streamEnded(bench.clock.nowMs());
    bench.clock.advance(999);
    bench.receive(Buffer.from("y"));
    assert.equal(bench.host.isClosed, false);
    bench.clock.advance(2);
    assert.equal(bench.host.isClosed, true);
  });
});
