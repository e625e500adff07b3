// Connections whose protocol nobody has told: servers that speak first, silent clients, and what is remembered of ports.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, before, describe, it } from "node:test";

import { renderPrometheus } from "#proxy/telemetry/metrics.ts";

import { bootstrapYaml, clusterYaml, serveHttp, TestPlane } from "../app/testing/plane-of.ts";

const EXTENSIONS = "type.googleapis.com/envoy.extensions.";

/** HTTP where the first bytes say so, else opaque; `wait`: Envoy's time for looking. */
function undeclared(name: string, http: string, tcp: string, wait = "0.05s"): string {
  return `
  - name: ${name}
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    listener_filters:
    - { name: http, typed_config: { "@type": ${EXTENSIONS}filters.listener.http_inspector.v3.HttpInspector } }
    listener_filters_timeout: ${wait}
    continue_on_listener_filters_timeout: true
    filter_chains:
    - filter_chain_match: { transport_protocol: raw_buffer, application_protocols: [http/1.0, http/1.1, h2c] }
      filters:
      - name: http
        typed_config:
          "@type": ${EXTENSIONS}filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts: [{ name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: ${http} } }] }]
          http_filters:
          - name: router
            typed_config: { "@type": ${EXTENSIONS}filters.http.router.v3.Router }
    default_filter_chain:
      filters:
      - name: tcp
        typed_config: { "@type": ${EXTENSIONS}filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: ${tcp} }`;
}

interface App {
  readonly port: number;
  /** All that were ever accepted. */
  readonly accepted: net.Socket[];
  readonly close: () => void;
}

async function serve(onConnection: (socket: net.Socket) => void): Promise<App> {
  const accepted: net.Socket[] = [];
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    accepted.push(socket);
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    for (const socket of accepted) socket.destroy();
  };
  return { port: (server.address() as net.AddressInfo).port, accepted, close };
}

describe("a port of which nobody said what it speaks", () => {
  const test = new TestPlane();
  const closers: (() => void)[] = [];
  let echo: App;
  let isGreeting = true;

  before(async () => {
    const greeter = await serve((socket) => {
      if (isGreeting) socket.write("220 hello\r\n");
      socket.pipe(socket);
    });
    echo = await serve((socket) => socket.pipe(socket));
    const silentHttp2 = await serve((socket) => socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])));
    const hangsUp = await serve((socket) => socket.end());
    const http = await serveHttp((_request, response) => response.end("http"));
    const gone = await serve(() => undefined);
    gone.close();
    closers.push(greeter.close, echo.close, silentHttp2.close, hangsUp.close, http.close);
    await test.apply(
      bootstrapYaml(
        [
          undeclared("greeter", "http", "greeter"),
          undeclared("echo", "http", "echo"),
          undeclared("http2", "http", "http2"),
          undeclared("hangs-up", "http", "hangs-up"),
          undeclared("gone", "http", "gone"),
        ],
        [
          clusterYaml("greeter", greeter.port),
          clusterYaml("echo", echo.port),
          clusterYaml("http2", silentHttp2.port),
          clusterYaml("hangs-up", hangsUp.port),
          clusterYaml("http", http.port),
          clusterYaml("gone", gone.port),
        ],
      ),
    );
  });

  after(async () => {
    for (const close of closers) close();
    await test.plane.drain(0);
  });

  async function connect(listener: string): Promise<net.Socket> {
    const socket = net.connect({ port: test.port(listener), host: "127.0.0.1", allowHalfOpen: true });
    closers.push(() => socket.destroy());
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }

  async function read(socket: net.Socket, length: number): Promise<string> {
    let text = "";
    while (text.length < length) {
      const [bytes] = (await once(socket, "data")) as [Buffer];
      text += bytes.toString("latin1");
    }
    return text;
  }

  function unused(listener: string): number {
    const text = renderPrometheus(test.plane.metrics.snapshot());
    return Number(
      new RegExp(`heddle_speculations_unused_total\\{listener="${listener}"\\} (\\d+)`).exec(text)?.[1] ?? 0,
    );
  }

  it("lets a server speak first, the first time and when it is known", async () => {
    for (let i = 0; i < 3; i++) {
      const client = await connect("greeter");
      assert.equal(await read(client, 11), "220 hello\r\n");
      client.write("EHLO\r\n");
      assert.equal(await read(client, 6), "EHLO\r\n");
      client.destroy();
    }
    assert.equal(unused("greeter"), 0);
  });

  it("serves HTTP where a server spoke first before, and does not any more", async () => {
    isGreeting = false;
    const client = await connect("greeter");
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await read(client, 12), /^HTTP\/1\.1 200/);
  });

  it("serves opaque bytes of a client that speaks first, at once or late", async () => {
    const hasty = await connect("echo");
    hasty.write("SET a b\r\n");
    assert.equal(await read(hasty, 9), "SET a b\r\n");
    const before = echo.accepted.length;
    const late = await connect("echo");
    while (echo.accepted.length === before) await new Promise((resolve) => setTimeout(resolve, 1));
    // Longer than the time for looking: a silent client may still say anything.
    await new Promise((resolve) => setTimeout(resolve, 100));
    late.write("SET a b\r\n");
    assert.equal(await read(late, 9), "SET a b\r\n");
    // The connection that was dialled for the silent client is the one that was used.
    assert.equal(echo.accepted.length, before + 1);
    assert.equal(unused("echo"), 0);
  });

  it("serves HTTP to a client that was silent for long, and closes what was dialled unused", async () => {
    const before = echo.accepted.length;
    const client = await connect("echo");
    while (echo.accepted.length === before) await new Promise((resolve) => setTimeout(resolve, 1));
    const dialled = echo.accepted.at(-1);
    assert.ok(dialled);
    const ended = once(dialled, "end");
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await read(client, 12), /^HTTP\/1\.1 200/);
    await ended;
    assert.equal(dialled.bytesRead, 0);
    assert.equal(unused("echo"), 1);
  });

  it("does not take an HTTP/2 server that sends its SETTINGS for a server that speaks first", async () => {
    const client = await connect("http2");
    while (unused("http2") === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await read(client, 12), /^HTTP\/1\.1 200/);
  });

  it("passes on the end of a server that hangs up without a word", async () => {
    const client = await connect("hangs-up");
    client.resume();
    await once(client, "end");
  });

  it("passes on the end of a client that hangs up without a word", async () => {
    const before = echo.accepted.length;
    const client = await connect("echo");
    client.end();
    client.resume();
    await once(client, "end");
    assert.equal(echo.accepted.length, before + 1);
  });

  it("closes a silent client whose server cannot be reached, and still serves HTTP to a slow one", async () => {
    const silent = await connect("gone");
    const slow = await connect("gone");
    await new Promise((resolve) => setTimeout(resolve, 30));
    slow.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert.match(await read(slow, 12), /^HTTP\/1\.1 200/);
    silent.resume();
    await new Promise((resolve) => silent.once("close", resolve));
  });
});
