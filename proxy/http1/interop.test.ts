// Our codecs on real sockets against Node's own HTTP client and server.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { systemClock } from "#lib/clock.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";
import { acceptWire } from "#proxy/wire/accept.ts";
import { CodecWire } from "#proxy/wire/codec-wire.ts";
import { connectWire } from "#proxy/wire/connect.ts";
import type { Wire } from "#proxy/wire/wire.ts";
import { WireLoop } from "#proxy/wire/wire-loop.ts";
import { Http1Client } from "./client.ts";
import { Http1Server } from "./server.ts";
import { RecordingServer, RecordingStream } from "./testing/recording-stream.ts";

const loop = new WireLoop({ clock: systemClock, acceptMode: "handle", lingerMs: 20 });

async function portOf(server: { address(): AddressInfo | string | null }): Promise<number> {
  return (server.address() as AddressInfo).port;
}

describe("on real sockets", () => {
  it("node:http's client is served over one kept connection, with large bodies both ways", async () => {
    let connections = 0;
    const listener = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) => {
      connections++;
      const host = new CodecWire(acceptWire(loop, socket), () => undefined);
      const handler = new RecordingServer((recorded, stream) => {
        stream.sendHead(HeaderBlock.of([":status", "200"], ["x-echo", recorded.head?.get(":path") ?? ""]), false);
        const bytes = Buffer.from(recorded.body, "latin1");
        stream.sendData(bytes, 0, bytes.length, true);
      });
      host.bind(new Http1Server(host, handler));
    }).listen(0, "127.0.0.1");
    await once(listener, "listening");
    const port = await portOf(listener);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (const body of ["", "small", "x".repeat(1_000_000)]) {
      const request = http.request({ port, host: "127.0.0.1", agent, method: "POST", path: `/${body.length}` });
      request.end(body);
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      const chunks: Buffer[] = [];
      response.on("data", (bytes: Buffer) => chunks.push(bytes));
      await once(response, "end");
      assert.equal(response.headers["x-echo"], `/${body.length}`);
      assert.equal(Buffer.concat(chunks).toString("latin1"), body);
    }
    assert.equal(connections, 1);
    agent.destroy();
    await new Promise((resolve) => listener.close(resolve));
  });

  it("node:http's server is used over one kept connection, chunked and by length", async () => {
    const server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (bytes: Buffer) => chunks.push(bytes));
      request.on("end", () => {
        const body = Buffer.concat(chunks);
        if (request.url === "/length") response.setHeader("content-length", body.length);
        response.end(body);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = await portOf(server);
    const wire = await new Promise<Wire>((resolve, reject) => {
      connectWire(
        loop,
        { address: "127.0.0.1", port },
        { timeoutMs: 30_000 },
        {
          onConnected: resolve,
          onFailure: (error) => reject(new Error(error.message)),
        },
      );
    });
    let onAvailable: () => void = () => undefined;
    const closed = new Promise<void>((resolve) => {
      const host = new CodecWire(wire, () => resolve());
      const client = new Http1Client(host, { onAvailable: () => onAvailable(), onRetired: () => undefined });
      host.bind(client);
      const ask = async (path: string, body: Buffer): Promise<RecordingStream> => {
        const recorded = new RecordingStream();
        const isFree = new Promise<void>((free) => (onAvailable = free));
        const stream = client.open(recorded);
        recorded.stream = stream;
        stream.sendHead(HeaderBlock.of([":method", "POST"], [":authority", "a"], [":path", path]), false);
        stream.sendData(body, 0, body.length, true);
        await isFree;
        return recorded;
      };
      void (async () => {
        for (const path of ["/length", "/chunked"]) {
          const recorded = await ask(path, Buffer.alloc(300_000, "z"));
          assert.equal(recorded.head?.get(":status"), "200");
          assert.equal(recorded.body.length, 300_000);
        }
        client.drain();
      })();
    });
    await closed;
    await new Promise((resolve) => server.close(resolve));
  });
});
