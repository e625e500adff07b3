// TLS that is not ours: routed by the server name in the ClientHello, and not touched.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { after, before, it } from "node:test";
import tls, { type ConnectionOptions, type SecureVersion } from "node:tls";

import { makeAuthority, type TestAuthority } from "#proxy/tls/testing/certs.ts";

import { listen, startTcpApp } from "./apps.ts";
import { cluster, Proxy, tcpFilter } from "./proxy.ts";

const NAMES = ["one.test", "two.test"] as const;
const closers: (() => unknown)[] = [];
let authority: TestAuthority;
let proxy: Proxy;
/** SHA-256 of each server's certificate. */
const fingerprints = new Map<string, string>();
/** All bytes that the server behind `raw.test` got, by connection. */
const heard: Buffer[][] = [];

const INSPECTOR = {
  name: "envoy.filters.listener.tls_inspector",
  typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector" },
};

function passthrough(name: string, fallback: string | undefined): unknown {
  const chain = (serverNames: readonly string[], target: string): object => ({
    name: target,
    filter_chain_match: { server_names: serverNames, transport_protocol: "tls" },
    filters: [tcpFilter(target, target)],
  });
  return {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
    listener_filters: [INSPECTOR],
    listener_filters_timeout: "30s",
    filter_chains: [chain(["one.test"], "one"), chain(["*.two.test", "two.test"], "two"), chain(["raw.test"], "raw")],
    ...(fallback === undefined
      ? {}
      : { default_filter_chain: { name: "fallback", filters: [tcpFilter("fallback", fallback)] } }),
  };
}

before(async () => {
  authority = await makeAuthority();
  const clusters: unknown[] = [];
  for (const name of NAMES) {
    const { chainPem, keyPem } = await authority.issue({ dns: [name, `*.${name}`] });
    const server = tls.createServer({ cert: chainPem, key: keyPem, minVersion: "TLSv1.2" }, (socket) => {
      socket.on("error", () => undefined);
      socket.end(`${name} ${socket.getProtocol()}`);
    });
    const app = await listen(server, () => undefined);
    closers.push(() => app.stop());
    clusters.push(cluster(name.slice(0, 3), app.port));
    fingerprints.set(name, createHash("sha256").update(certificateOf(chainPem)).digest("hex"));
  }
  const raw = await startTcpApp((socket) => {
    const pieces: Buffer[] = [];
    heard.push(pieces);
    socket.on("data", (bytes: Buffer) => pieces.push(bytes));
    socket.on("end", () => socket.end("raw"));
  });
  closers.push(() => raw.stop());
  clusters.push(cluster("raw", raw.port));
  proxy = await Proxy.start({ listeners: [passthrough("open", "raw"), passthrough("closed", undefined)], clusters });
  closers.push(() => proxy.stop());
});

after(async () => {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close();
});

function certificateOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}

interface Visit {
  readonly text: string;
  readonly fingerprint: string;
}

async function visit(serverName: string, options: ConnectionOptions = {}): Promise<Visit> {
  const socket = tls.connect({
    port: proxy.port("open"),
    host: "127.0.0.1",
    servername: serverName,
    ca: authority.bundlePem,
    ...options,
  });
  await once(socket, "secureConnect");
  assert.equal(socket.authorized, true);
  const fingerprint = createHash("sha256").update(socket.getPeerCertificate().raw).digest("hex");
  let text = "";
  for await (const bytes of socket) text += String(bytes);
  return { text, fingerprint };
}

for (const version of ["TLSv1.2", "TLSv1.3"] as const satisfies readonly SecureVersion[]) {
  it(`the client of ${version} meets the certificate of the server that it named`, async () => {
    for (const name of NAMES) {
      const { text, fingerprint } = await visit(name, { minVersion: version, maxVersion: version });
      assert.equal(text, `${name} ${version}`);
      assert.equal(fingerprint, fingerprints.get(name));
    }
    assert.equal(
      (await visit("any.two.test", { minVersion: version, maxVersion: version })).text,
      `two.test ${version}`,
    );
  });
}

it("a session is resumed with the server, through the proxy", async () => {
  const options = {
    maxVersion: "TLSv1.3",
    port: proxy.port("open"),
    host: "127.0.0.1",
    ca: authority.bundlePem,
  } as const;
  const first = tls.connect({ ...options, servername: "one.test" });
  let session: Buffer | undefined;
  first.on("session", (ticket: Buffer) => (session = ticket));
  first.resume();
  await once(first, "close");
  assert.ok(session);
  const second = tls.connect({ ...options, servername: "one.test", session });
  second.resume();
  await once(second, "secureConnect");
  assert.equal(second.isSessionReused(), true);
  second.destroy();
});

/** Sends bytes in pieces, and then FIN; what came back ("" = closed without a byte). */
async function say(listener: string, bytes: Buffer, pieceBytes: number): Promise<string> {
  const socket = net.connect({ port: proxy.port(listener), host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  let text = "";
  socket.on("data", (answer: Buffer) => (text += answer.toString()));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined);
  await once(socket, "connect");
  for (let from = 0; from < bytes.length; from += pieceBytes) {
    socket.write(bytes.subarray(from, from + pieceBytes));
    if (pieceBytes < 100) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await closed;
  return text;
}

it("a ClientHello reaches the server byte for byte, however it is cut, whatever is in it", async () => {
  const ech = extension(0xfe0d, Buffer.alloc(300, 0xec));
  const hellos = [
    records(hello("raw.test", []), 16_384),
    // A handshake message may be cut into many records (RFC 8446 §5.1).
    records(hello("raw.test", [ech]), 40),
    // Post-quantum key shares and many tickets.
    records(hello("RAW.test", [extension(51, Buffer.alloc(20_000, 7)), ech]), 16_384),
  ];
  for (const bytes of hellos) {
    for (const pieceBytes of [bytes.length, 1400, bytes.length < 1000 ? 1 : 977]) {
      heard.length = 0;
      const sent = Buffer.concat([bytes, Buffer.from("and what follows")]);
      assert.equal(await say("closed", sent, pieceBytes), "raw");
      assert.deepEqual(Buffer.concat(heard.at(-1) ?? []), sent);
    }
  }
});

it("what names no server that is known goes to the default chain, or is closed where there is none", async () => {
  const strangers = [
    records(hello("stranger.test", []), 16_384),
    records(hello(undefined, []), 16_384),
    // Larger than anything that is waited for.
    records(hello("one.test", [extension(21, Buffer.alloc(40_000))]), 16_384),
    Buffer.from("\x16\x03\x01 this is no TLS at all, whatever it begins with"),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  ];
  for (const bytes of strangers) {
    heard.length = 0;
    assert.equal(await say("open", bytes, 1400), "raw");
    assert.deepEqual(Buffer.concat(heard.at(-1) ?? []), bytes);
    assert.equal(await say("closed", bytes, bytes.length), "");
    assert.equal(heard.length, 1);
  }
});

function extension(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** A handshake message (RFC 8446 §4.1.2). */
function hello(serverName: string | undefined, extensions: readonly Buffer[]): Buffer {
  const all = [...extensions];
  if (serverName !== undefined) {
    const name = Buffer.from(serverName);
    const entry = Buffer.concat([Buffer.from([0, name.length + 3, 0, 0, name.length]), name]);
    entry.writeUInt16BE(name.length + 3, 0);
    entry.writeUInt16BE(name.length, 3);
    all.push(extension(0, entry));
  }
  const tail = Buffer.concat(all);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(tail.length);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 5),
    Buffer.from([32]),
    Buffer.alloc(32, 6),
    Buffer.from([0, 2, 0x13, 0x01, 1, 0]),
    length,
    tail,
  ]);
  const head = Buffer.from([1, 0, 0, 0]);
  head.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([head, body]);
}

/** The message in records of at most `size` bytes. */
function records(message: Buffer, size: number): Buffer {
  const parts: Buffer[] = [];
  for (let from = 0; from < message.length; from += size) {
    const piece = message.subarray(from, from + size);
    const head = Buffer.from([22, 3, 1, 0, 0]);
    head.writeUInt16BE(piece.length, 3);
    parts.push(head, piece);
  }
  return Buffer.concat(parts);
}
