// Settings of the HTTP connection manager that only a real socket can show.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, before, describe, it } from "node:test";

import { bootstrapYaml, clusterYaml, httpListenerYaml, serveHttp, TestPlane } from "./testing/plane-of.ts";

const GOAWAY = 7;
const PING = 6;

describe("a downstream connection", () => {
  const test = new TestPlane();
  let backend: Awaited<ReturnType<typeof serveHttp>>;

  before(async () => {
    backend = await serveHttp((_request, response) => response.end("ok"));
    await test.apply(
      bootstrapYaml(
        [
          httpListenerYaml("slow", "backend", "          request_headers_timeout: 0.05s"),
          // Without the drain timeout a silent HTTP/2 peer would have Envoy's 5 s between the two GOAWAYs.
          httpListenerYaml(
            "idle",
            "backend",
            "          drain_timeout: 0.02s\n          common_http_protocol_options: { idle_timeout: 0.05s }",
          ),
          httpListenerYaml(
            "few",
            "backend",
            "          common_http_protocol_options: { max_requests_per_connection: 2 }",
          ),
          httpListenerYaml(
            "ping",
            "backend",
            "          http2_protocol_options: { connection_keepalive: { interval: 0.03s, timeout: 0.03s } }",
          ),
        ],
        [clusterYaml("backend", backend.port)],
      ),
    );
  });

  after(async () => {
    await test.plane.drain(0);
    backend.close();
  });

  /** Everything that comes until the proxy ends the connection; we never end it first. */
  async function talk(listener: string, text: string): Promise<Buffer> {
    const socket = net.connect({ port: test.port(listener), host: "127.0.0.1", allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => chunks.push(bytes));
    socket.write(text, "latin1");
    await once(socket, "end");
    socket.destroy();
    return Buffer.concat(chunks);
  }

  const types = (bytes: Buffer): readonly number[] => {
    const found: number[] = [];
    for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) found.push(bytes[at + 3] ?? -1);
    return found;
  };
  const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
  const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

  it("whose head does not end gets 408", async () => {
    assert.match((await talk("slow", "GET / HTTP/1.1\r\nhost:")).toString(), /^HTTP\/1\.1 408 /);
  });

  it("whose first bytes do not even tell the protocol gets 408 too", async () => {
    assert.match((await talk("slow", "GE")).toString(), /^HTTP\/1\.1 408 /);
  });

  it("that is idle ends: HTTP/1 without a word, HTTP/2 with GOAWAY", async () => {
    const text = (await talk("idle", get)).toString();
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(text, /connection: close/i);
    assert.ok(types(await talk("idle", http2)).includes(GOAWAY));
  });

  it("has so many requests as it may have, and hears it with the last answer", async () => {
    const text = (await talk("few", get + get + get)).toString();
    assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2);
    assert.equal(text.match(/connection: close/gi)?.length, 1);
  });

  it("that leaves a PING unanswered is given up", async () => {
    const found = types(await talk("ping", http2));
    assert.ok(found.includes(PING));
    assert.equal(found.at(-1), GOAWAY);
  });
});
