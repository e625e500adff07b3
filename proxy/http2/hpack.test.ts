// HPACK: the RFC's examples, relays through three tables, and what may and may not get a place in one.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { FIELD_NEVER_INDEXED, HeaderBlock } from "#lib/http/header-block.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { plainBlock } from "./testing/frames.ts";
import { fieldsOf } from "./testing/recorder.ts";

const name = fc.constantFrom(
  "accept",
  "x-a",
  "x-request-id",
  "grpc-timeout",
  "cookie",
  "user-agent",
  "etag",
  "date",
  "content-type",
);
const value = fc.oneof(
  fc.constantFrom("a", "", "text/html; q=1", "x".repeat(200), "0123456789abcdef"),
  fc.stringMatching(/^[!-~]([ -~]{0,40}[!-~])?$/),
);
const block = fc.array(fc.tuple(name, value), { maxLength: 12 });

function encode(encoder: HpackEncoder, head: HeaderBlock): Buffer {
  const out = Buffer.alloc(encoder.bound(head));
  return out.subarray(0, encoder.encode(head, out, 0, false));
}

function decode(decoder: HpackDecoder, bytes: Buffer): HeaderBlock {
  const head = new HeaderBlock();
  // A read buffer is never at 0: a frame's header comes before.
  const shifted = Buffer.concat([Buffer.alloc(9), bytes]);
  assert.ok(decoder.decode(shifted, 9, shifted.length, head));
  return head;
}

const makeDecoder = () => new HpackDecoder(4096, 65536, 100);

describe("HPACK", () => {
  it("decodes the requests of RFC 7541 C.4 with one table", () => {
    const decoder = makeDecoder();
    const wire = [
      "828684418cf1e3c2e5f23a6ba0ab90f4ff",
      "828684be5886a8eb10649cbf",
      "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    const heads = wire.map((hex) => fieldsOf(decode(decoder, Buffer.from(hex, "hex"))));
    assert.deepEqual(heads[1], [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
      ["cache-control", "no-cache"],
    ]);
    assert.deepEqual(heads[2]?.slice(2), [
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ]);
  });

  it("decodes the responses of RFC 7541 C.6, whose table evicts", () => {
    const decoder = new HpackDecoder(4096, 65536, 100);
    const first = Buffer.from(
      "3fe101" +
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
      "hex",
    );
    assert.equal(fieldsOf(decode(decoder, first)).length, 4);
    assert.deepEqual(fieldsOf(decode(decoder, Buffer.from("4883640effc1c0bf", "hex"))), [
      [":status", "307"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:21 GMT"],
      ["location", "https://www.example.com"],
    ]);
  });

  it("relays any sequence of blocks unchanged through two tables of any size", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), fc.constantFrom(0, 60, 200, 4096), (blocks, tableBytes) => {
        const first = new HpackEncoder(4096);
        const relayIn = makeDecoder();
        const relayOut = new HpackEncoder(4096);
        relayOut.setLimit(tableBytes);
        const last = makeDecoder();
        for (const fields of blocks) {
          const received = decode(relayIn, encode(first, HeaderBlock.of(...fields)));
          assert.deepEqual(fieldsOf(decode(last, encode(relayOut, received))), fields);
        }
      }),
    );
  });

  it("relays what a peer indexes, Huffman-coded or not, after a detach too", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 6 }), fc.constantFrom(0x00, 0x10, 0x40), (blocks, pattern) => {
        const relayIn = makeDecoder();
        const relayOut = new HpackEncoder(4096);
        const last = makeDecoder();
        for (const fields of blocks) {
          const short = fields.map(([field, text]) => [field, text.slice(0, 100).trimEnd()] as const);
          const received = decode(relayIn, plainBlock(short, pattern));
          received.detach();
          assert.deepEqual(fieldsOf(decode(last, encode(relayOut, received))), short);
        }
      }),
    );
  });

  it("gives a place only to what it meets again", () => {
    const encoder = new HpackEncoder(4096);
    const sizes = [1, 2, 3].map(() => encode(encoder, HeaderBlock.of(["x-tenant", "blue"])).length);
    assert.ok((sizes[0] ?? 0) > 5 && sizes[1] === sizes[0]);
    assert.equal(sizes[2], 1);
    for (let i = 0; i < 500; i++) encode(encoder, HeaderBlock.of(["x-request-id", `id-${i}-${i * 7919}`]));
    assert.equal(encode(encoder, HeaderBlock.of(["x-tenant", "blue"])).length, 1);
  });

  it("keeps credentials out of tables and never-indexed fields never indexed", () => {
    const encoder = new HpackEncoder(4096);
    for (const field of ["authorization", "cookie", "set-cookie"]) {
      for (let i = 0; i < 4; i++) {
        const bytes = encode(encoder, HeaderBlock.of([field, "secret"]));
        assert.equal((bytes[0] ?? 0) & 0xf0, 0x00, field);
      }
    }
    const decoder = makeDecoder();
    for (let i = 0; i < 4; i++) {
      const received = decode(decoder, plainBlock([["x-token", "secret"]], 0x10));
      assert.equal(received.flagsAt(0), FIELD_NEVER_INDEXED);
      assert.equal((encode(encoder, received)[0] ?? 0) & 0xf0, 0x10);
    }
  });

  it("announces a smaller table before it uses it, by way of the smallest", () => {
    const encoder = new HpackEncoder(4096);
    const decoder = makeDecoder();
    for (let i = 0; i < 3; i++) decode(decoder, encode(encoder, HeaderBlock.of(["x-a", "1"])));
    encoder.setLimit(0);
    encoder.setLimit(100);
    const bytes = encode(encoder, HeaderBlock.of(["x-a", "1"]));
    assert.equal(bytes.subarray(0, 3).toString("hex"), "203f45");
    assert.deepEqual(fieldsOf(decode(decoder, bytes)), [["x-a", "1"]]);
  });

  it("leaves the connection's own fields of an HTTP/1 message behind", () => {
    const encoder = new HpackEncoder(4096);
    const head = HeaderBlock.of(
      ["connection", "keep-alive"],
      [":method", "GET"],
      ["te", "gzip, trailers"],
      ["transfer-encoding", "chunked"],
      ["http2-settings", "AAMAAABk"],
    );
    assert.deepEqual(fieldsOf(decode(makeDecoder(), encode(encoder, head))), [
      [":method", "GET"],
      ["te", "trailers"],
    ]);
  });

  it("survives any octets", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 5 }), (blocks) => {
        const decoder = makeDecoder();
        for (const bytes of blocks) {
          const received = new HeaderBlock();
          if (!decoder.decode(Buffer.from(bytes), 0, bytes.length, received)) return;
          fieldsOf(received);
        }
      }),
    );
  });

  it("refuses values that would break out of an HTTP/1 line, plain and Huffman-coded", () => {
    for (const text of ["a\r\nb", "a\nb", "a\0b", " a", "a ", "\ta"]) {
      const decoder = makeDecoder();
      decode(decoder, plainBlock([["x-a", text]]));
      assert.notEqual(decoder.facts.problem, "", JSON.stringify(text));
      decode(decoder, plainBlock([["x-a", text]], 0x40));
      decode(decoder, Buffer.from([0xbe]));
      assert.notEqual(decoder.facts.problem, "", `${JSON.stringify(text)} from the table`);
    }
  });
});
