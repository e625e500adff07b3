// Requests and answers of the bookstore (testing/bookstore.proto) through the transcoder, without a proxy.
import assert from "node:assert/strict";
import { describe, it, test } from "node:test";

import { createFileRegistry, fromBinary, fromJson, toBinary, toJson, type JsonValue } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import fs from "node:fs";
import path from "node:path";

import { encodeFrame, FrameReader } from "#lib/grpc/frames.ts";
import { HeaderBlock } from "#lib/http/header-block.ts";

import { FilterBench, type TestExchange } from "../testing/harness.ts";
import { parseGrpcJson } from "./config.ts";
import { grpcJsonFilter } from "./filter.ts";

const SET = fs.readFileSync(path.join(import.meta.dirname, "testing/bookstore.binpb"));
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, SET));
const BASE = {
  protoDescriptorBin: SET.toString("base64"),
  services: ["bookstore.v1.Bookstore", "bookstore.v1.Titles"],
};

await grpcJsonFilter.load();

interface Asked {
  readonly exchange: TestExchange;
  /** The gRPC method's path; undefined = not transcoded. */
  readonly called: string | undefined;
  /** The messages that go upstream. */
  readonly messages: readonly JsonValue[];
  answer(messages: readonly JsonValue[], trailers?: readonly (readonly [string, string])[]): Answered;
}

interface Answered {
  readonly head: HeaderBlock;
  readonly body: string;
  readonly trailers: HeaderBlock;
}

const OK = [["grpc-status", "0"]] as const;

function ask(method: string, target: string, body = "", config: Record<string, JsonValue> = {}): Asked {
  const bench = new FilterBench();
  const filter = bench.make(grpcJsonFilter, { ...BASE, ...config } as Parameters<typeof parseGrpcJson>[0]); // as: a test gives plain data
  const exchange = bench.exchange({ headers: [["content-type", "application/json"]] });
  exchange.request.set(":method", method);
  exchange.request.set(":path", target);
  filter.onRequestHead?.(exchange, exchange.request, false);
  filter.onRouted?.(exchange, exchange.request);
  const [transform] = exchange.requestTransforms;
  const called = exchange.request.get(":path") ?? "";
  const [, service = "", name = ""] = called.split("/");
  const rpc = registry.getService(service)?.methods.find((one) => one.name === name);
  if (transform === undefined || rpc === undefined) {
    const answer = (): never => assert.fail("the request was not transcoded");
    return { exchange, called: undefined, messages: [], answer };
  }
  const bytes = Buffer.from(body);
  const sent = transform.onData(bytes, 0, bytes.length, true);
  const messages = new FrameReader(1e6)
    .read(sent, 0, sent.length)
    .map((frame) => toJson(rpc.input, fromBinary(rpc.input, frame.message), { registry }));
  const answer: Asked["answer"] = (answers, fields = OK) => {
    const isBare = answers.length === 0 && fields !== OK;
    const head = HeaderBlock.of([":status", "200"], ["content-type", "application/grpc"], ...(isBare ? fields : []));
    filter.onResponseHead?.(exchange, head, isBare);
    const [made] = exchange.responseTransforms;
    assert.ok(made);
    let text = "";
    for (const one of answers) {
      const frame = encodeFrame(0, toBinary(rpc.output, fromJson(rpc.output, one, { registry })));
      text += made.onData(frame, 0, frame.length, false).toString();
    }
    const trailers = isBare ? new HeaderBlock() : HeaderBlock.of(...fields);
    text += (isBare ? made.onData(Buffer.alloc(0), 0, 0, true) : made.onTrailers(trailers)).toString();
    return { head, body: text, trailers };
  };
  return { exchange, called, messages, answer };
}

describe("a request", () => {
  it("becomes a call of the method that its path names", () => {
    const { exchange, called, messages } = ask("GET", "/v1/shelves/a%20b");
    assert.equal(called, "/bookstore.v1.Bookstore/GetShelf");
    assert.deepEqual(messages, [{ name: "shelves/a b" }]);
    const { request } = exchange;
    assert.deepEqual(
      [":method", "content-type", "te", "x-envoy-original-path"].map((name) => request.get(name)),
      ["POST", "application/grpc", "trailers", "/v1/shelves/a%20b"],
    );
  });

  it("takes fields from the query: nested, repeated, enums, wrappers, well-known types", () => {
    const query =
      "page_size=3&pageToken=a%20b&tags=x&tags=y&filter.inner.query=z&filter.years=1&filter.years=2&all=true" +
      "&kind=COMIC&limit=5&since=2020-01-02T03:04:05Z&offset=9007199254740993&score=1.5";
    assert.deepEqual(ask("GET", `/v1/shelves?${query}`).messages, [
      {
        pageSize: 3,
        pageToken: "a b",
        tags: ["x", "y"],
        filter: { years: [1, 2], inner: { query: "z" } },
        all: true,
        kind: "COMIC",
        limit: 5,
        since: "2020-01-02T03:04:05Z",
        offset: "9007199254740993",
        score: 1.5,
      },
    ]);
  });

  it("has its body as the message, or as one field of it; the URL wins", () => {
    const target = "/v1/shelves/1/books/2";
    assert.deepEqual(ask("PUT", target, '{"name":"other","title":"t","unknown":1}').messages, [
      { name: "shelves/1/books/2", title: "t" },
    ]);
    assert.deepEqual(ask("PATCH", target).messages, [{ name: "shelves/1/books/2" }]);
    assert.deepEqual(ask("POST", "/v1/shelves?request_id=r", '{"theme":"t"}').messages, [
      { shelf: { theme: "t" }, requestId: "r" },
    ]);
    assert.equal(ask("POST", `${target}:publish`, "{}").called, "/bookstore.v1.Bookstore/PublishBook");
    assert.equal(ask("PURGE", "/v1/shelves/1").called, "/bookstore.v1.Bookstore/GetShelf");
  });

  it("streams the elements of an array, the URL's values with the first", () => {
    const { called, messages } = ask("POST", "/v1/books:echo?title=t", '[{"name":"a"}, {"name":"b"}]');
    assert.equal(called, "/bookstore.v1.Bookstore/EchoBooks");
    assert.deepEqual(messages, [{ name: "a", title: "t" }, { name: "b" }]);
  });

  it("with any body goes into a google.api.HttpBody", () => {
    assert.deepEqual(ask("PUT", "/v1/covers/x", "raw").messages, [
      { name: "x", cover: { contentType: "application/json", data: Buffer.from("raw").toString("base64") } },
    ]);
  });

  it("that cannot be understood is answered 400, and one that is too large 413", () => {
    const refused = (...args: Parameters<typeof ask>): number | undefined => ask(...args).exchange.reply?.status;
    assert.equal(refused("POST", "/v1/shelves", '{"theme":'), 400);
    assert.equal(refused("POST", "/v1/shelves", '{"theme":1}'), 400);
    assert.equal(refused("GET", "/v1/shelves?page_size=x"), 400);
    assert.equal(refused("GET", "/v1/shelves/%ff"), 400);
    assert.equal(refused("POST", "/v1/books:import", '{"name":"a"}'), 400);
    assert.equal(refused("POST", "/v1/shelves", '{"theme":"long"}', { maxRequestBodySize: 10 }), 413);
    assert.equal(refused("PUT", "/v1/shelves/1/books/2", `{"extra":${"[".repeat(1e5)}`), 400);
  });

  it("that names no method or field passes untouched, or is refused where that is asked", () => {
    const strict = { requestValidationOptions: { rejectUnknownMethod: true, rejectUnknownQueryParameters: true } };
    for (const target of ["/v1/nope", "/v1/shelves?nope=1", "/v1/shelves?filter.query.x=1"]) {
      const { exchange, called } = ask("GET", target);
      assert.deepEqual([called, exchange.request.get(":path"), exchange.reply], [undefined, target, undefined]);
      assert.ok((ask("GET", target, "", strict).exchange.reply?.status ?? 0) >= 400);
    }
    assert.deepEqual(ask("GET", "/v1/shelves?nope=1", "", { ignoreUnknownQueryParameters: true }).messages, [{}]);
    assert.deepEqual(ask("GET", "/v1/shelves?nope=1", "", { ignoredQueryParameters: ["nope"] }).messages, [{}]);
    const collides = { requestValidationOptions: { rejectBindingBodyFieldCollisions: true } };
    assert.equal(ask("PUT", "/v1/shelves/1/books/2", '{"name":"x"}', collides).exchange.reply?.status, 400);
  });

  it("to a method without a rule needs auto_mapping", () => {
    const target = "/bookstore.v1.Bookstore/Unmapped";
    assert.equal(ask("POST", target, "{}").called, undefined);
    assert.deepEqual(ask("POST", target, '{"title":"t"}', { autoMapping: true }).messages, [{ title: "t" }]);
  });
});

describe("an answer", () => {
  it("is JSON with its length, its status the call's", () => {
    const { head, body, trailers } = ask("GET", "/v1/shelves/1").answer([{ name: "shelves/1", theme: "t" }]);
    assert.equal(body, '{"name":"shelves/1","theme":"t"}');
    assert.deepEqual(
      [":status", "content-type", "content-length", "grpc-status"].map((name) => head.get(name)),
      ["200", "application/json", "32", "0"],
    );
    assert.equal(trailers.length, 0);
  });

  it("is printed as the options say", () => {
    const printOptions = {
      addWhitespace: true,
      alwaysPrintPrimitiveFields: true,
      alwaysPrintEnumsAsInts: true,
      preserveProtoFieldNames: true,
    };
    const { body } = ask("PUT", "/v1/shelves/1/books/2", "{}", { printOptions }).answer([
      { kind: "COMIC", readingTime: "3.5s" },
    ]);
    assert.equal(
      body,
      '{\n "name": "",\n "title": "",\n "pages": "0",\n "kind": 2,\n "reading_time": "3.500s",\n "stock": {},\n "hash": "",\n "authors": []\n}\n',
    );
  });

  it("of a stream is an array, lines or events", () => {
    const books = [{ name: "a" }, { name: "b" }];
    const of = (printOptions: Record<string, boolean>, answers = books): string =>
      ask("GET", "/v1/shelves/1/books", "", { printOptions }).answer(answers).body;
    assert.equal(of({}), '[{"name":"a"},{"name":"b"}]');
    assert.equal(of({}, []), "[]");
    assert.equal(of({ streamNewlineDelimited: true }), '{"name":"a"}\n{"name":"b"}\n');
    assert.equal(of({ streamSseStyleDelimited: true }), 'data: {"name":"a"}\n\ndata: {"name":"b"}\n\n');
  });

  it("that is an error has the code's status, and its words in the head or in the body", () => {
    const failure = [
      ["grpc-status", "5"],
      ["grpc-message", "no %E2%82%AC"],
    ] as const;
    const { head, body } = ask("GET", "/v1/shelves/1").answer([], failure);
    assert.deepEqual([head.get(":status"), head.get("grpc-message"), body], ["404", "no %E2%82%AC", ""]);
    const converted = ask("GET", "/v1/shelves/1", "", { convertGrpcStatus: true }).answer([], failure);
    assert.equal(converted.head.get(":status"), "404");
    assert.equal(converted.head.has("grpc-status"), false);
    assert.equal(converted.body, '{"code":5,"message":"no €"}');
  });

  it("of one field is that field, also when it is empty", () => {
    assert.equal(ask("GET", "/v1/titles/x").answer([{ title: "t" }]).body, '"t"');
    assert.equal(ask("GET", "/v1/titles/x").answer([{}]).body, '""');
  });

  it("of a google.api.HttpBody is its bytes under its type", () => {
    const cover = { contentType: "image/png", data: Buffer.from("png").toString("base64") };
    const { head, body } = ask("GET", "/v1/covers/x").answer([cover]);
    assert.deepEqual([head.get("content-type"), body], ["image/png", "png"]);
    const streamed = ask("GET", "/v1/streamed-covers/x").answer([cover, cover]);
    assert.deepEqual([streamed.head.get("content-type"), streamed.body], ["image/png", "pngpng"]);
  });

  it("that is no message, or too large a one, is answered 502", () => {
    const small = ask("GET", "/v1/shelves/1", "", { maxResponseBodySize: 5 });
    small.answer([{ name: "longer than five" }]);
    assert.equal(small.exchange.reply?.status, 502);
    const empty = ask("GET", "/v1/shelves/1");
    empty.answer([]);
    assert.equal(empty.exchange.reply?.status, 502);
  });

  it("of somebody who speaks no gRPC passes untouched", () => {
    const bench = new FilterBench();
    const filter = bench.make(grpcJsonFilter, BASE);
    const exchange = bench.exchange();
    exchange.request.set(":path", "/v1/shelves");
    filter.onRequestHead?.(exchange, exchange.request, true);
    filter.onResponseHead?.(exchange, HeaderBlock.of([":status", "503"], ["content-type", "text/plain"]), false);
    assert.equal(exchange.responseTransforms.length, 0);
  });
});

test("a configuration without sense is refused, with the reason", () => {
  const make = (config: object): void => void new FilterBench().make(grpcJsonFilter, { ...BASE, ...config });
  assert.throws(
    () => make({ services: ["none.Such"] }),
    /services\[0\] must be a service of the descriptor set \(.+\): got "none\.Such"/,
  );
  assert.throws(
    () => make({ protoDescriptorBin: "AAAA" }),
    /protoDescriptorBin must be a descriptor set that can be read/,
  );
  assert.throws(() => make({ protoDescriptorBin: "", protoDescriptor: "/nowhere.binpb" }), /\/nowhere\.binpb/);
  assert.throws(() => make({ protoDescriptorBin: "" }), /protoDescriptor must be set/);
  for (const field of ["captureUnknownQueryParameters", "caseInsensitiveEnumParsing"])
    assert.throws(() => make({ [field]: true }), new RegExp(`${field} must be left out`));
});
