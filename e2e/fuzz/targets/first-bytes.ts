// What is read of a connection's first bytes: ClientHello and protocol. They come in pieces: "more" may become anything, but what was
// said of a beginning must hold for all that follows.
import assert from "node:assert/strict";

import type { Random } from "#lib/random.ts";
import { detectProtocol, inspectHttp, isForeign } from "#proxy/listener/detect.ts";
import { readClientHello } from "#proxy/listener/client-hello.ts";

import { below, type Target } from "../target.ts";
import { REQUEST_WORDS } from "./http1-server.ts";

/** Of an input's beginnings so many are looked at, the shortest one by one. */
const BEGINNINGS = 80;

function checkBeginnings(input: Buffer, read: (bytes: Buffer) => unknown): unknown {
  let said: unknown = "more";
  const step = Math.max(1, Math.floor(input.length / BEGINNINGS));
  for (let length = 0; length <= input.length; length += length < BEGINNINGS ? 1 : step) {
    const now = read(input.subarray(0, length));
    if (said !== "more") assert.deepEqual(now, said, `at ${length} octets`);
    said = now;
  }
  const whole = read(input);
  if (said !== "more") assert.deepEqual(whole, said, "of the whole");
  return whole;
}

function makeHello(...extensions: readonly Buffer[]): Buffer {
  const all = Buffer.concat(extensions);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0]),
    length16(all),
    all,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), length16(body), body]);
  return Buffer.concat([Buffer.from([22, 3, 1]), length16(message), message]);
}

function length16(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return length;
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0, type]), length16(content), content]);
}

const name = Buffer.from("shop.example");
const serverName = extension(0, Buffer.concat([Buffer.from([0, name.length + 3, 0, 0, name.length]), name]));
const alpn = extension(16, Buffer.from("\0\x0c\x02h2\x08http/1.1", "latin1"));

/** Cuts the handshake bytes into records anew, or changes a length. */
function mutateHello(input: Buffer, random: Random): Buffer {
  if (input.length < 6) return input;
  const at = 5 + below(random, input.length - 5);
  if (random.next() < 0.5) {
    const behind = input.subarray(at);
    const before = Buffer.from(input.subarray(0, at));
    before.writeUInt16BE(at - 5, 3);
    return Buffer.concat([before, Buffer.from([22, 3, 1]), length16(behind), behind]);
  }
  const changed = Buffer.from(input);
  changed[at] = ((changed[at] ?? 0) + below(random, 5) - 2) & 255;
  return changed;
}

export const clientHello: Target = {
  name: "client-hello",
  covers: ["/proxy/listener/client-hello.ts"],
  isLinear: true,
  seeds: () => [
    makeHello(),
    makeHello(serverName),
    makeHello(alpn, serverName),
    makeHello(extension(43, Buffer.from([2, 3, 4])), alpn),
  ],
  mutate: mutateHello,
  run(input) {
    const said = checkBeginnings(input, readClientHello);
    if (typeof said === "string") return said;
    const { serverName: host, alpn: protocols } = said as { serverName: string; alpn: readonly string[] };
    assert.ok(host.length <= input.length && protocols.length <= input.length);
    return `${host === "" ? "no name" : "name"}, ${protocols.length} protocols`;
  },
};

export const detection: Target = {
  name: "detect",
  covers: ["/proxy/listener/detect.ts"],
  isLinear: true,
  words: [
    ...REQUEST_WORDS,
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SET a b\r\n",
    "EHLO there\r\n",
    "HTTPS://",
    "\x16\x03\x01",
  ],
  seeds: () =>
    [
      "GET / HTTP/1.1\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "*1\r\n$4\r\nPING\r\n",
      "CONNECT a:1 HTTP/1.1\r\n",
      "get http://a HTTP/1.0\r\n",
    ].map((text) => Buffer.from(text)),
  run(input) {
    const detected = checkBeginnings(input, detectProtocol);
    const inspected = checkBeginnings(input, inspectHttp);
    if (isForeign(input)) assert.equal(detected, "other");
    if (detected === "other") assert.equal(inspected, "other");
    return `${String(detected)} ${String(inspected)}`;
  },
};
