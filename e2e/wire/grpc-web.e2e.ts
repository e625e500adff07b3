// gRPC-Web with the client of connect-web and by hand, through Heddle and through Envoy.
import assert from "node:assert/strict";
import http from "node:http";
import http2 from "node:http2";
import { it, type TestContext } from "node:test";

import {
  create,
  createFileRegistry,
  fromBinary,
  toBinary,
  type DescMethod,
  type MessageInitShape,
  type DescMessage,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import fs from "node:fs";

import { encodeFrame } from "#lib/grpc/frames.ts";

import { startHttpApp } from "./apps.ts";
import { DESCRIPTORS, SERVICE, startBookstore } from "./bookstore.ts";
import { ask, exampleOf, startBoth, type Both } from "./both.ts";
import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fs.readFileSync(DESCRIPTORS)));

function methodOf<K extends DescMethod["methodKind"]>(name: string, kind: K): DescMethod & { methodKind: K } {
  const method = registry.getService(SERVICE)?.methods.find((one) => one.name === name);
  assert.equal(method?.methodKind, kind);
  return method as DescMethod & { methodKind: K }; // as: asserted above
}

const GET_SHELF = methodOf("GetShelf", "unary");
const LIST_BOOKS = methodOf("ListBooks", "server_streaming");

async function start(t: TestContext): Promise<Both> {
  const app = await startBookstore();
  atEnd(t, () => app.stop());
  return startBoth(t, exampleOf("grpc-web.md", app.port));
}

function transportTo(port: number) {
  return createGrpcWebTransport({ baseUrl: `http://127.0.0.1:${port}`, useBinaryFormat: true });
}

/** The fields of a message whose type is known at run time alone. */
function fields(message: object): Readonly<Record<string, unknown>> {
  return { ...message };
}

function frame(schema: DescMessage, init: Record<string, unknown>): Buffer {
  return encodeFrame(0, toBinary(schema, create(schema, init as MessageInitShape<DescMessage>))); // as: known at run time alone
}

it("unary calls, streams and errors of connect-web are answered as through Envoy", async (t) => {
  const { heddle, envoy } = await start(t);
  for (const proxy of [heddle, envoy]) {
    const transport = transportTo(proxy.port("web"));
    const { message } = await transport.unary(GET_SHELF, undefined, 10_000, undefined, { name: "shelves/1" });
    assert.equal(fields(message)["name"], "shelves/1");
    const failing = transport.unary(GET_SHELF, undefined, 10_000, undefined, { name: "shelves/none" });
    await assert.rejects(failing, (error) => {
      assert.ok(error instanceof ConnectError);
      assert.deepEqual([error.code, error.rawMessage], [Code.NotFound, "no shelf “none”: 100%"]);
      return true;
    });
    const input = (async function* () {
      yield { count: 3, failAfter: 1 };
    })();
    const stream = await transport.stream(LIST_BOOKS, undefined, 10_000, undefined, input);
    const names: unknown[] = [];
    const reading = (async () => {
      for await (const book of stream.message) names.push(fields(book)["name"]);
    })();
    await assert.rejects(reading, (error) => error instanceof ConnectError && error.code === Code.Aborted);
    assert.deepEqual(names, ["book-0", "book-1", "book-2"]);
  }
});

it("text comes and goes as base64, to the letter as through Envoy", async (t) => {
  const { heddle, envoy } = await start(t);
  const whole = frame(GET_SHELF.input, { name: "shelves/1" }).toString("base64");
  const piecewise = frame(GET_SHELF.input, { name: "shelves/1" });
  const padded = piecewise.subarray(0, 4).toString("base64") + piecewise.subarray(4).toString("base64");
  const list = frame(LIST_BOOKS.input, { count: 3 }).toString("base64");
  const bodies: readonly (readonly [method: string, body: string])[] = [
    ["GetShelf", whole],
    ["ListBooks", list],
    ["GetShelf", whole.slice(0, -2)],
    ["GetShelf", frame(GET_SHELF.input, { name: "shelves/none" }).toString("base64")],
    ["Nope", whole],
  ];
  for (const accept of ["application/grpc-web-text", "application/grpc-web", undefined]) {
    for (const [method, body] of bodies) {
      const headers = { "content-type": "application/grpc-web-text", ...(accept === undefined ? {} : { accept }) };
      const asked = { method: "POST", path: `/${SERVICE}/${method}`, headers, body };
      const ours = await ask(heddle.port("web"), asked);
      const theirs = await ask(envoy.port("web"), asked);
      // The words of what each refuses itself are its own.
      if (theirs.status === 200) assert.deepEqual(ours, theirs, `${method} ${accept ?? ""}`);
      else
        assert.deepEqual([ours.type, ours.grpcStatus], [theirs.type, theirs.grpcStatus], `${method} ${accept ?? ""}`);
    }
  }
  const headers = { "content-type": "application/grpc-web-text+proto" };
  const pieces = await ask(heddle.port("web"), { method: "POST", path: `/${SERVICE}/GetShelf`, headers, body: padded });
  assert.match(pieces.body, /shelves\/1/);
});

it("each message of a stream is sent at once, also in text", async (t) => {
  const { heddle } = await start(t);
  const body = frame(LIST_BOOKS.input, { count: 3, pauseMs: 1000 });
  const first = await new Promise<string>((resolve, reject) => {
    const type = "application/grpc-web-text";
    const sent = http.request({
      host: "127.0.0.1",
      port: heddle.port("web"),
      method: "POST",
      path: `/${SERVICE}/ListBooks`,
      headers: { "content-type": type, accept: type },
    });
    sent.once("error", reject);
    sent.once("response", (answer: http.IncomingMessage) => {
      answer.setEncoding("latin1").once("data", (text: string) => {
        resolve(text);
        sent.destroy();
      });
    });
    sent.end(body.toString("base64"));
  });
  const book = registry.getMessage("bookstore.v1.Book");
  assert.ok(book);
  assert.equal(first, frame(book, { name: "book-0" }).toString("base64"));
});

it("an HTTP/2 client is answered the same", async (t) => {
  const { heddle, envoy } = await start(t);
  const bodies: string[] = [];
  for (const proxy of [heddle, envoy]) {
    const session = http2.connect(`http://127.0.0.1:${proxy.port("web")}`);
    atEnd(t, () => session.destroy());
    const stream = session.request({
      ":method": "POST",
      ":path": `/${SERVICE}/GetShelf`,
      "content-type": "application/grpc-web+proto",
    });
    stream.end(frame(GET_SHELF.input, { name: "shelves/1" }));
    const head = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
    assert.equal(head["content-type"], "application/grpc-web+proto");
    bodies.push(Buffer.concat(await stream.toArray()).toString("latin1"));
  }
  assert.equal(bodies[0], bodies[1]);
  assert.match(bodies[0] ?? "", /grpc-status:0/);
});

it("a service that is down is told in gRPC's words", async (t) => {
  const { heddle, envoy } = await startBoth(t, exampleOf("grpc-web.md", 1));
  for (const proxy of [heddle, envoy]) {
    const call = transportTo(proxy.port("web")).unary(GET_SHELF, undefined, 10_000, undefined, { name: "x" });
    await assert.rejects(call, (error) => error instanceof ConnectError && error.code === Code.Unavailable);
  }
});

it("without the filter gRPC-Web passes through untouched", async (t) => {
  const type = "application/grpc-web+proto";
  const app = await startHttpApp((request, response) => {
    response.writeHead(200, { "content-type": request.headers["content-type"] ?? "" });
    request.pipe(response);
  });
  atEnd(t, () => app.stop());
  const proxy = await Proxy.start({ listeners: [httpListener("in", "app")], clusters: [cluster("app", app.port)] });
  atEnd(t, () => proxy.stop());
  const body = Buffer.from([0, 0, 0, 0, 1, 7, 0x80, 0, 0, 0, 0]);
  const seen = await ask(proxy.port("in"), { method: "POST", path: "/x", headers: { "content-type": type }, body });
  assert.deepEqual([seen.status, seen.type, seen.body], [200, type, body.toString("latin1")]);
});
