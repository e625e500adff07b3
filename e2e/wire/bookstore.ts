// The bookstore of the transcoder's tests as a real gRPC service of @grpc/grpc-js.
import {
  create,
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type JsonObject,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import fs from "node:fs";
import path from "node:path";

import { StatusSchema } from "#config/xds/gen/google/rpc/status_pb.ts";

export const DESCRIPTORS = path.join(import.meta.dirname, "../../filters/grpc-json/testing/bookstore.binpb");
export const SERVICE = "bookstore.v1.Bookstore";
export const TITLES = "bookstore.v1.Titles";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, fs.readFileSync(DESCRIPTORS)));

type Unary = grpc.ServerUnaryCall<JsonObject, JsonObject>;
type Answer = grpc.sendUnaryData<JsonObject>;

/** Messages are JSON on the service's side: what it got is what it can be asked about. */
function definition(name: string): grpc.ServiceDefinition {
  const service = registry.getService(name);
  if (service === undefined) throw new Error(`${DESCRIPTORS} has no ${name}`);
  return Object.fromEntries(
    service.methods.map((method) => [
      method.name,
      {
        path: `/${name}/${method.name}`,
        requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
        responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
        requestSerialize: (value: JsonObject) => Buffer.from(toBinary(method.input, fromJson(method.input, value))),
        requestDeserialize: (bytes: Buffer) => toJson(method.input, fromBinary(method.input, bytes)) as JsonObject,
        responseSerialize: (value: JsonObject) => Buffer.from(toBinary(method.output, fromJson(method.output, value))),
        responseDeserialize: (bytes: Buffer) => toJson(method.output, fromBinary(method.output, bytes)) as JsonObject,
      },
    ]),
  );
}

function text(message: JsonObject, field: string): string {
  const value = message[field];
  return typeof value === "string" ? value : "";
}

const echo = ({ request }: Unary, answer: Answer): void => answer(null, request);

const handlers: grpc.UntypedServiceImplementation = {
  ListShelves: ({ request }: Unary, answer: Answer) =>
    answer(null, { shelves: [{ name: "shelves/1", theme: "Poetry" }, { name: "shelves/2" }], asked: request }),
  GetShelf({ request, metadata }: Unary, answer: Answer): void {
    const name = text(request, "name");
    if (name === "shelves/none") answer(failure(grpc.status.NOT_FOUND, "no shelf “none”: 100%"));
    else if (name === "shelves/denied") answer(detailedFailure());
    else answer(null, { name, theme: metadata.get("x-envoy-original-path").join() });
  },
  CreateShelf: ({ request }: Unary, answer: Answer) =>
    answer(null, { name: text(request, "requestId"), ...(request["shelf"] as JsonObject | undefined) }),
  UpdateBook: echo,
  PublishBook: echo,
  Unmapped: echo,
  DeleteBook: (_call: Unary, answer: Answer) => answer(null, {}),
  FindFile: echo,
  GetTitle: ({ request }: Unary, answer: Answer) => answer(null, { title: `Title of ${text(request, "name")}` }),
  async ListBooks(call: grpc.ServerWritableStream<JsonObject, JsonObject>): Promise<void> {
    const { count = 0, failAfter = -1, pauseMs = 0 } = call.request as Record<string, number>;
    for (let i = 0; i < count; i++) {
      call.write({ name: `book-${i}`, pages: String(i) });
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    if (failAfter >= 0) call.emit("error", failure(grpc.status.ABORTED, "enough"));
    else call.end();
  },
  ImportBooks(call: grpc.ServerReadableStream<JsonObject, JsonObject>, answer: Answer): void {
    const names: string[] = [];
    call.on("data", (book: JsonObject) => names.push(text(book, "name")));
    call.on("end", () => answer(null, { names }));
  },
  EchoBooks(call: grpc.ServerDuplexStream<JsonObject, JsonObject>): void {
    call.on("data", (book: JsonObject) => call.write(book));
    call.on("end", () => call.end());
  },
  GetCover: (_call: Unary, answer: Answer) =>
    answer(null, { contentType: "image/png", data: Buffer.from([137, 80, 78, 71]).toString("base64") }),
  PutCover({ request }: Unary, answer: Answer): void {
    const { contentType = "", data = "" } = request["cover"] as Record<string, string>;
    answer(null, { name: text(request, "name"), theme: `${contentType} ${Buffer.from(data, "base64").toString()}` });
  },
  StreamCover(call: grpc.ServerWritableStream<JsonObject, JsonObject>): void {
    for (const piece of ["one ", "two"])
      call.write({ contentType: "text/plain", data: Buffer.from(piece).toString("base64") });
    call.end();
  },
};

function failure(code: grpc.status, details: string): grpc.ServiceError {
  return Object.assign(new Error(details), { code, details, metadata: new grpc.Metadata() });
}

function detailedFailure(): grpc.ServiceError {
  const error = failure(grpc.status.PERMISSION_DENIED, "denied");
  const status = create(StatusSchema, { code: grpc.status.PERMISSION_DENIED, message: "denied, in detail" });
  error.metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, status)));
  return error;
}

export interface BookstoreApp {
  readonly port: number;
  stop(): void;
}

export async function startBookstore(): Promise<BookstoreApp> {
  const server = new grpc.Server();
  for (const name of [SERVICE, TITLES]) server.addService(definition(name), handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return { port, stop: () => server.forceShutdown() };
}
