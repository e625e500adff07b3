// Against an implementation that shares nothing with ours: node:http2 (nghttp2) over loopback, as client and as server.
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import * as net from "node:net";
import { after, before, describe, it } from "node:test";
import * as fc from "fast-check";
import { systemClock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { Http2Client } from "./client.ts";
import { Http2Server } from "./server.ts";
import { echo } from "./testing/echo.ts";
import { serveSocket } from "./testing/net-host.ts";
import { makeSettings, Recorder } from "./testing/recorder.ts";

const SMALL = makeSettings({ initialStreamWindowBytes: 70_000, initialConnectionWindowBytes: 100_000 });
/** Sent as they are by node:http2, and sent back by both echoes. */
const field = fc.tuple(
  fc.constantFrom("x-a", "x-b", "x-request-id", "accept", "user-agent", "x-long", "authorization"),
  fc.oneof(fc.constantFrom("same", "text/html, */*"), fc.stringMatching(/^[!-~]([ -~]{0,60}[!-~])?$/)),
);
const heads = fc.array(fc.uniqueArray(field, { selector: ([name]) => name, maxLength: 7 }), {
  minLength: 1,
  maxLength: 12,
});

async function listen(server: net.Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("node:http2 as the client", () => {
  let seen: HeaderBlock[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    serveSocket(
      socket,
      (host) =>
        new Http2Server(
          host,
          {
            onStream(stream) {
              const handler = echo.onStream(stream);
              const onHead = handler.onHead.bind(handler);
              handler.onHead = (head, end) => {
                seen.push(head.clone());
                onHead(head, end);
              };
              return handler;
            },
          },
          SMALL,
          systemClock,
        ),
    );
  });
  let session: http2.ClientHttp2Session;
  before(async () => {
    session = http2.connect(`http://127.0.0.1:${await listen(server)}`);
    await once(session, "connect");
  });
  after(() => {
    session.destroy();
    server.close();
  });

  it("sends any heads, whatever its tables did before", async () => {
    await fc.assert(
      fc.asyncProperty(heads, async (requests) => {
        seen = [];
        await Promise.all(requests.map((fields) => readAll(session.request(Object.fromEntries(fields)))));
        const read = seen.map(fieldsAfterPseudo);
        assert.deepEqual(read, requests);
      }),
      { numRuns: 30 },
    );
  });

  it("gets back a megabyte through small windows, on several streams at once", async () => {
    const body = Buffer.alloc(1 << 20, "0123456789");
    const bodies = await Promise.all(
      [1, 2, 3].map(() => {
        const stream = session.request({ ":method": "POST" });
        stream.end(body);
        return readAll(stream);
      }),
    );
    for (const answer of bodies) assert.ok(answer.equals(body));
  });

  it("ends with a graceful GOAWAY when we drain", async () => {
    const own = net.createServer((socket) => {
      const codec = serveSocket(socket, (host) => new Http2Server(host, echo, SMALL, systemClock));
      setImmediate(() => codec.drain());
    });
    const other = http2.connect(`http://127.0.0.1:${await listen(own)}`);
    const closed = once(other, "close");
    const answer = await readAll(other.request({ ":path": "/" }));
    assert.equal(answer.toString(), "hello from heddle\n");
    await closed;
    own.close();
  });
});

describe("node:http2 as the server", () => {
  const server = http2.createServer({ settings: { maxConcurrentStreams: 4, headerTableSize: 512 } });
  server.on("stream", (stream: http2.ServerHttp2Stream, request: http2.IncomingHttpHeaders) => {
    const own = Object.entries(request).filter(([name]) => !name.startsWith(":"));
    stream.respond({ ":status": 200, ...Object.fromEntries(own) }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "done" }));
    stream.pipe(stream);
  });
  let socket: net.Socket;
  let client: Http2Client;
  before(async () => {
    socket = net.connect(await listen(server), "127.0.0.1");
    client = serveSocket(
      socket,
      (host) => new Http2Client(host, { onAvailable() {}, onRetired() {} }, SMALL, systemClock),
    );
  });
  after(() => {
    socket.destroy();
    server.close();
  });

  async function ask(fields: readonly (readonly [string, string])[], body: Buffer): Promise<Recorder> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const recorder = new Recorder(undefined);
    const onTrailers = recorder.onTrailers.bind(recorder);
    recorder.onTrailers = (trailers) => {
      onTrailers(trailers);
      resolve();
    };
    const stream = client.open(recorder);
    recorder.consumer = stream;
    const pseudo = [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "shop"],
    ] as const;
    stream.sendHead(HeaderBlock.of(...pseudo, ...fields), false);
    stream.sendData(body, 0, body.length, true);
    await promise;
    return recorder;
  }

  it("reads any heads, and its answers come back, whatever the tables did before", async () => {
    await fc.assert(
      fc.asyncProperty(heads, async (requests) => {
        for (const fields of requests) {
          // One after the other: the tables must have a history.
          // oxlint-disable-next-line no-await-in-loop
          const recorder = await ask(fields, Buffer.from("x"));
          const answered = recorder.fields.filter(([name]) => name !== ":status" && name !== "date");
          assert.deepEqual(new Map(answered), new Map(fields));
          assert.equal(recorder.events.at(-1), "trailers x-sum,done");
        }
      }),
      { numRuns: 15 },
    );
  });

  it("gets and sends back a megabyte", async () => {
    const recorder = await ask([], Buffer.alloc(1 << 20, "z"));
    assert.equal(recorder.dataBytes, 1 << 20);
    assert.equal(client.maxStreams, 4);
  });
});

function fieldsAfterPseudo(head: HeaderBlock): [string, string][] {
  const fields: [string, string][] = [];
  head.forEach((name, value) => {
    if (!name.startsWith(":")) fields.push([name, value]);
  });
  return fields;
}
