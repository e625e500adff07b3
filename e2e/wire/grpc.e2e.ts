// A real gRPC service of @grpc/grpc-js with a real client: unary calls, errors, deadlines and streams through the proxy.
import assert from "node:assert/strict";
import { once } from "node:events";
import { it, type TestContext } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { atEnd } from "./cleanup.ts";
import { cluster, httpListener, Proxy } from "./proxy.ts";

const text = {
  serialize: (value: string): Buffer => Buffer.from(value),
  deserialize: (bytes: Buffer): string => bytes.toString(),
};

function method(path: string, isStream: boolean): grpc.MethodDefinition<string, string> {
  return {
    path,
    requestStream: isStream,
    responseStream: isStream,
    requestSerialize: text.serialize,
    requestDeserialize: text.deserialize,
    responseSerialize: text.serialize,
    responseDeserialize: text.deserialize,
  };
}

const UNARY = method("/test.Echo/Unary", false);
const BIDI = method("/test.Echo/Bidi", true);

const handlers = {
  Unary(call: grpc.ServerUnaryCall<string, string>, answer: grpc.sendUnaryData<string>): void {
    if (call.request === "wait") return;
    const trailers = new grpc.Metadata();
    trailers.set("x-trailer", "seen");
    if (call.request === "fail")
      answer({ code: grpc.status.FAILED_PRECONDITION, details: "not today", metadata: trailers });
    else answer(null, `${call.request} for ${String(call.metadata.get("x-caller")[0])}`, trailers);
  },
  Bidi(call: grpc.ServerDuplexStream<string, string>): void {
    call.on("data", (message: string) => call.write(message.toUpperCase()));
    call.on("end", () => call.end());
  },
};

async function openClient(t: TestContext): Promise<grpc.Client> {
  const server = new grpc.Server();
  server.addService({ Unary: UNARY, Bidi: BIDI }, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  atEnd(t, () => server.forceShutdown());
  const proxy = await Proxy.start({
    listeners: [httpListener("in", "app")],
    clusters: [cluster("app", port, "http2")],
  });
  atEnd(t, () => proxy.stop());
  const client = new grpc.Client(`127.0.0.1:${proxy.port("in")}`, grpc.credentials.createInsecure());
  atEnd(t, () => client.close());
  return client;
}

interface Answer {
  readonly value: string | undefined;
  readonly error: grpc.ServiceError | undefined;
  readonly status: grpc.StatusObject;
}

function callUnary(client: grpc.Client, message: string, deadlineMs = 10_000): Promise<Answer> {
  return new Promise((resolve) => {
    let error: grpc.ServiceError | undefined;
    let value: string | undefined;
    const metadata = new grpc.Metadata();
    metadata.set("x-caller", "me");
    const options = { deadline: Date.now() + deadlineMs };
    const call = client.makeUnaryRequest(
      UNARY.path,
      text.serialize,
      text.deserialize,
      message,
      metadata,
      options,
      (failed, answer) => {
        error = failed ?? undefined;
        value = answer;
      },
    );
    call.on("status", (status) => setImmediate(() => resolve({ value, error, status })));
  });
}

it("unary calls bring metadata there and trailers back", async (t) => {
  const client = await openClient(t);
  const { value, status } = await callUnary(client, "hello");
  assert.equal(value, "hello for me");
  assert.deepEqual(status.metadata.get("x-trailer"), ["seen"]);
  const large = "g".repeat(2_000_000);
  assert.equal((await callUnary(client, large)).value, `${large} for me`);
});

it("an error keeps its code, its message and its metadata", async (t) => {
  const { error } = await callUnary(await openClient(t), "fail");
  assert.equal(error?.code, grpc.status.FAILED_PRECONDITION);
  assert.equal(error.details, "not today");
  assert.deepEqual(error.metadata.get("x-trailer"), ["seen"]);
});

it("a deadline ends a call that nobody answers", async (t) => {
  const { error } = await callUnary(await openClient(t), "wait", 200);
  assert.equal(error?.code, grpc.status.DEADLINE_EXCEEDED);
});

it("a hundred calls at once all come back", async (t) => {
  const client = await openClient(t);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => callUnary(client, String(i))));
  assert.deepEqual(
    answers.map(({ value }) => value),
    Array.from({ length: 100 }, (_, i) => `${i} for me`),
  );
});

it("a bidirectional stream answers message by message, and ends from the client's side", async (t) => {
  const client = await openClient(t);
  const call = client.makeBidiStreamRequest(BIDI.path, text.serialize, text.deserialize);
  for (let i = 0; i < 200; i++) {
    call.write(`message ${i}`);
    const [answer] = (await once(call, "data")) as [string];
    assert.equal(answer, `MESSAGE ${i}`);
  }
  call.end();
  const [status] = (await once(call, "status")) as [grpc.StatusObject];
  assert.equal(status.code, grpc.status.OK);
});
