// What the first bytes of a plain connection tell.
import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { detectProtocol, inspectHttp, isForeign, speaksHttp } from "./detect.ts";

const detect = (text: string): string => detectProtocol(Buffer.from(text, "latin1"));
const inspect = (text: string): string => inspectHttp(Buffer.from(text, "latin1"));

describe("the first bytes of a connection", () => {
  it("are HTTP/1 with a method and a target, whatever the method", () => {
    for (const text of [
      "GET / HTTP/1.1\r\n",
      "OPTIONS * H",
      "PURGE /x",
      "CONNECT a:443",
      "GET http://a/",
      "M-SEARCH *",
    ])
      assert.equal(detect(text), "http1", text);
  });

  it("are not taken for HTTP where another protocol speaks in words", () => {
    const others = [
      "EHLO there\r\n",
      "SET a b\r\n",
      "GET key\r\n",
      "USER anonymous\r\n",
      "a1 LOGIN x y\r\n",
      "*3\r\n$3\r\nSET\r\n",
      "SSH-2.0-x\r\n",
      "\x16\x03\x01",
      "\0\0\0\x08",
      "GET hello world",
      " GET /",
    ];
    for (const text of others) assert.equal(detect(text), "other", text);
  });

  it("are HTTP/2 only with the whole preface", () => {
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (let i = 0; i < preface.length; i++) assert.equal(detect(preface.slice(0, i)), "more");
    assert.equal(detect(preface), "http2");
    assert.equal(detect("PRI * HTTP/2.1"), "http1");
    // HTTP/2 says what is wrong with the rest of a preface.
    assert.equal(detect("PRI * HTTP/2.0\r\nhost: a\r\n"), "http2");
    assert.equal(detect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"), "http2");
  });

  it("are certain to be no HTTP/1 when a whole first line names no version of HTTP", () => {
    const foreign = (text: string): boolean => isForeign(Buffer.from(text, "latin1"));
    for (const text of ["INVALID CONNECTION PREFACE\r\n\r\n", "SSH-2.0-x\r\n", "EHLO a\r\n"])
      assert.equal(foreign(text), true, text);
    for (const text of ["GET  / HTTP/1.1\r\n", " GET / HTTP/1.1\r\n", "GET /\r\n", "SSH-2.0-x", "PRI * HTTP/2.0\r\nx"])
      assert.equal(foreign(text), false, text);
  });

  it("say nothing before they differ", () => {
    for (const text of ["", "G", "GET", "GET ", "GET h", "GET https:/"]) assert.equal(detect(text), "more", text);
  });
});

describe("the first line, where other protocols are possible", () => {
  it("must end with an HTTP version", () => {
    assert.equal(inspect("GET / HTTP/1.1\r\nhost: a"), "http/1.1");
    assert.equal(inspect("GET / HTTP/1.0\n"), "http/1.0");
    assert.equal(inspect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "h2c");
    for (const text of ["SET /a b\r\n", "GET /a\r\n", "EHLO x\r\n", "GET / HTTP/1.1x\r\n"])
      assert.equal(inspect(text), "other", text);
    assert.equal(inspect("GET / HTTP/1.1"), "more");
    assert.equal(inspect(`GET /${"a".repeat(20_000)}`), "other");
  });
});

describe("the first bytes of a server", () => {
  const speaks = (...bytes: readonly number[]): boolean =>
    speaksHttp(Buffer.from([0xff, ...bytes]), 1, bytes.length + 1);

  it("are HTTP/2 when they are a frame of SETTINGS", () => {
    assert.equal(speaks(0, 0, 0, 4, 0, 0, 0, 0, 0), true);
    assert.equal(speaks(0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3), true);
    assert.equal(speaks(0, 0, 17, 4, 0, 0, 0, 0, 0), false);
    assert.equal(speaks(0, 0, 0, 4, 1, 0, 0, 0, 0), false);
    assert.equal(speaks(0, 0, 0, 4, 0, 0, 0, 0, 1), false);
  });

  it("are HTTP/1 when they are a status line", () => {
    assert.equal(speaks(...Buffer.from("HTTP/1.1 408 Request Timeout\r\n")), true);
    assert.equal(speaks(...Buffer.from("HTTP/1")), false);
  });

  it("are a greeting otherwise, as those of MySQL, SMTP, NATS and SSH", () => {
    for (const text of ["\x4a\0\0\0\n8.4.0\0", "220 mail\r\n", "INFO {}\r\n", "SSH-2.0-x\r\n", ""])
      assert.equal(speaks(...Buffer.from(text, "latin1")), false, text);
  });
});
