import assert from "node:assert/strict";
import { describe, it, test } from "node:test";

import { HeaderBlock } from "#lib/http/header-block.ts";
import { encodeFrame } from "#lib/grpc/frames.ts";

import type { BodyTransform } from "../filter.ts";
import { FilterBench, type HarnessOptions, type TestExchange } from "../testing/harness.ts";
import { grpcWebFilter } from "./filter.ts";

const MESSAGE = encodeFrame(0, Buffer.from("hello"));

function call(contentType: string, options: HarnessOptions = {}, accept?: string) {
  const bench = new FilterBench();
  const filter = bench.make(grpcWebFilter, {}, options);
  const headers: (readonly [string, string])[] = [
    ["content-type", contentType],
    ["content-length", "10"],
  ];
  if (accept !== undefined) headers.push(["accept", accept]);
  const exchange = bench.exchange({ ...options, headers });
  filter.onRequestHead?.(exchange, exchange.request, false);
  filter.onRouted?.(exchange, exchange.request);
  const answer = (...fields: readonly (readonly [string, string])[]): HeaderBlock => {
    const head = HeaderBlock.of(...fields);
    filter.onResponseHead?.(exchange, head, false);
    return head;
  };
  return { exchange, filter, answer };
}

function only(transforms: readonly BodyTransform[]): BodyTransform {
  const [first] = transforms;
  assert.equal(transforms.length, 1);
  assert.ok(first);
  return first;
}

function pass(transform: BodyTransform, bytes: Buffer | string, last = false): string {
  const given = Buffer.from(bytes);
  return transform.onData(given, 0, given.length, last).toString("latin1");
}

const OK = [
  [":status", "200"],
  ["content-type", "application/grpc"],
] as const;
const TRAILERS = "\u0080\0\0\0\u000fgrpc-status:0\r\n";

test("a request becomes gRPC, and its body stays as it is", () => {
  for (const type of ["application/grpc-web", "application/grpc-web+proto", "application/grpc-web+proto; charset=x"]) {
    const { exchange } = call(type);
    assert.equal(exchange.request.get("content-type"), "application/grpc");
    assert.equal(exchange.request.get("te"), "trailers");
    assert.equal(exchange.request.get("grpc-accept-encoding"), "identity");
    assert.equal(exchange.request.get("content-length"), undefined);
    assert.equal(exchange.requestTransforms.length, 0);
  }
  assert.equal(call("application/grpc-web+json").exchange.request.get("content-type"), "application/grpc+json");
});

test("other requests pass untouched, and so do their answers", () => {
  for (const type of ["application/grpc", "application/grpc+proto", "application/json", "application/grpc-webby"]) {
    const { exchange, answer } = call(type);
    assert.equal(exchange.request.get("content-type"), type);
    assert.equal(exchange.request.get("content-length"), "10");
    assert.equal(answer(...OK).get("content-type"), "application/grpc");
    assert.equal(exchange.responseTransforms.length, 0);
  }
});

test("a route may turn it off", () => {
  const { exchange, answer } = call("application/grpc-web", { override: { isDisabled: true, config: undefined } });
  assert.equal(exchange.request.get("content-type"), "application/grpc-web");
  answer(...OK);
  assert.equal(exchange.responseTransforms.length, 0);
});

describe("the answer", () => {
  it("has its trailers as the last frame of the body", () => {
    const { exchange, answer } = call("application/grpc-web");
    assert.equal(answer(...OK).get("content-type"), "application/grpc-web+proto");
    const body = only(exchange.responseTransforms);
    assert.equal(body.holdsHead, false);
    assert.equal(pass(body, MESSAGE), MESSAGE.toString("latin1"));
    const trailers = HeaderBlock.of(["grpc-status", "0"]);
    assert.equal(body.onTrailers(trailers).toString("latin1"), TRAILERS);
    assert.equal(trailers.length, 0);
  });

  it("in text has each message padded as soon as it is whole", () => {
    const { exchange, answer } = call("application/grpc-web-text", {}, "application/grpc-web-text");
    assert.equal(answer(...OK).get("content-type"), "application/grpc-web-text+proto");
    const body = only(exchange.responseTransforms);
    const text = MESSAGE.toString("base64");
    assert.equal(pass(body, MESSAGE.subarray(0, 4)), text.slice(0, 4));
    assert.equal(pass(body, MESSAGE.subarray(4)), text.slice(4));
    assert.equal(pass(body, Buffer.concat([MESSAGE, MESSAGE.subarray(0, 1)])), text);
    assert.equal(pass(body, MESSAGE.subarray(1)), text);
    const trailers = HeaderBlock.of(["grpc-status", "0"]);
    assert.equal(body.onTrailers(trailers).toString(), Buffer.from(TRAILERS, "latin1").toString("base64"));
  });

  it("of trailers alone stays in the head", () => {
    const { exchange, filter } = call("application/grpc-web");
    const head = HeaderBlock.of(...OK, ["grpc-status", "5"], ["grpc-message", "no"]);
    filter.onResponseHead?.(exchange, head, true);
    assert.equal(head.get("grpc-status"), "5");
    assert.equal(exchange.responseTransforms.length, 0);
  });

  it("that is no gRPC is told in gRPC's words", () => {
    const { exchange, answer } = call("application/grpc-web");
    const head = answer([":status", "503"], ["content-type", "text/plain"], ["content-length", "9"]);
    const body = only(exchange.responseTransforms);
    assert.equal(body.holdsHead, true);
    assert.equal(pass(body, "down 100% ", false), "");
    assert.equal(pass(body, "x".repeat(40_000), true), "");
    assert.equal(head.get("content-type"), "application/grpc-web+proto");
    assert.deepEqual([head.get(":status"), head.get("grpc-status"), head.get("content-length")], ["503", "14", "0"]);
    assert.equal(head.get("grpc-message"), `down 100%25 ${"x".repeat(16_374)}`);
  });
});

describe("a request in text", () => {
  const ask = (): TestExchange => call("application/grpc-web-text").exchange;

  it("is decoded however it was cut", () => {
    const body = only(ask().requestTransforms);
    const text = MESSAGE.toString("base64");
    assert.equal(pass(body, text.slice(0, 6)) + pass(body, text.slice(6), true), MESSAGE.toString("latin1"));
  });

  it("that is no base64 is answered 400", () => {
    const exchange = ask();
    assert.equal(pass(only(exchange.requestTransforms), "AAAAA", true), "");
    assert.equal(exchange.reply?.status, 400);
    assert.match(exchange.reply.detail, /not a multiple of four/);
  });
});
