// The answer's body: gRPC messages on one side, JSON (or the bytes of google.api.HttpBody) on the other.
import { create, fromBinary, toJson, type DescField, type JsonValue, type Message } from "@bufbuild/protobuf";
import { scalarZeroValue } from "@bufbuild/protobuf/reflect";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";

import { HttpBodySchema, type HttpBody } from "#config/xds/gen/google/api/httpbody_pb.ts";
import { StatusSchema, type Status } from "#config/xds/gen/google/rpc/status_pb.ts";
import type { HeaderBlock } from "#lib/http/header-block.ts";
import { describeError } from "#lib/errors.ts";
import { FrameReader, type Frame } from "#lib/grpc/frames.ts";
import { decodeGrpcMessage, httpStatusFor } from "#lib/grpc/status.ts";

import type { BodyTransform, Exchange } from "../filter.ts";

import type { GrpcJsonConfig } from "./config.ts";
import type { Binding, Methods } from "./methods.ts";
import { replyBadResponse } from "./replies.ts";

const NOTHING = Buffer.alloc(0);
const STATUS_FIELDS = ["grpc-status", "grpc-message", "grpc-status-details-bin"] as const;

export class ResponseBodyTransform implements BodyTransform {
  readonly #exchange: Exchange;
  readonly #binding: Binding;
  readonly #methods: Methods;
  readonly #config: GrpcJsonConfig;
  readonly #head: HeaderBlock;
  readonly #frames: FrameReader;
  readonly #isStream: boolean;
  /** A unary answer waits for its trailers. */
  #body: Buffer = NOTHING;
  #messages = 0;
  #isFailed = false;

  constructor(exchange: Exchange, head: HeaderBlock, binding: Binding, methods: Methods, config: GrpcJsonConfig) {
    this.#exchange = exchange;
    this.#head = head;
    this.#binding = binding;
    this.#methods = methods;
    this.#config = config;
    this.#frames = new FrameReader(config.maxResponseBytes);
    const { methodKind } = binding.method;
    this.#isStream = methodKind === "server_streaming" || methodKind === "bidi_streaming";
    head.delete("content-length");
    head.set("content-type", this.#contentType);
  }

  /** Only a stream of JSON says its type before its first message. */
  get holdsHead(): boolean {
    return !this.#isStream || this.#binding.isHttpBodyResponse;
  }

  get #contentType(): string {
    return this.#isStream && this.#config.print.stream === "events" ? "text/event-stream" : "application/json";
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): Buffer {
    try {
      const pieces = this.#frames.read(bytes, start, end).map((frame) => this.#write(frame));
      const made = pieces.length === 1 ? (pieces[0] ?? NOTHING) : Buffer.concat(pieces);
      // The answer's head was its trailers, or there are none where gRPC must have them.
      if (last) return Buffer.concat([made, this.#finish(this.#head)]);
      return made;
    } catch (error) {
      return this.#fail(describeError(error));
    }
  }

  onTrailers(trailers: HeaderBlock): Buffer {
    const made = this.#finish(trailers);
    // Behind a stream that has begun they are all that still tells of an error.
    if (this.#isFailed || this.holdsHead) trailers.clear();
    return made;
  }

  #write({ flags, message: bytes }: Frame): Buffer {
    if (flags !== 0) throw new Error("a message is compressed");
    const { isHttpBodyResponse, method, responseBody } = this.#binding;
    if (!this.#isStream && this.#messages > 0) throw new Error("a unary answer has several messages");
    this.#messages++;
    const message = fromBinary(method.output, bytes);
    const written = isHttpBodyResponse
      ? this.#writeHttpBody(readHttpBody(message, responseBody))
      : this.#writeJson(this.#toJson(message));
    if (this.#isStream) return written;
    this.#body = written;
    return NOTHING;
  }

  #writeHttpBody(body: HttpBody): Buffer {
    if (this.#messages === 1) this.#head.set("content-type", body.contentType);
    return Buffer.from(body.data);
  }

  #writeJson(json: JsonValue): Buffer {
    const { hasWhitespace, stream } = this.#config.print;
    const text = hasWhitespace ? `${JSON.stringify(json, undefined, 1)}\n` : JSON.stringify(json);
    if (!this.#isStream) return Buffer.from(text);
    if (stream === "lines") return Buffer.from(`${text}\n`);
    if (stream === "events") return Buffer.from(`data: ${text}\n\n`);
    return Buffer.from((this.#messages === 1 ? "[" : ",") + text);
  }

  #toJson(message: Message): JsonValue {
    const { method, responseBody } = this.#binding;
    let json: JsonValue | undefined = toJson(method.output, message, this.#options());
    for (const field of responseBody) {
      const inside: JsonValue | undefined =
        json !== null && typeof json === "object" && !Array.isArray(json)
          ? (json[field.jsonName] ?? json[field.name])
          : undefined;
      json = inside ?? emptyJson(field);
    }
    return json;
  }

  #options() {
    const { emitsDefaults, enumsAsNumbers, protoNames } = this.#config.print;
    return {
      registry: this.#methods.registry,
      alwaysEmitImplicit: emitsDefaults,
      enumAsInteger: enumsAsNumbers,
      useProtoFieldName: protoNames,
    };
  }

  /** `trailers` may be the head, when it is all there is. */
  #finish(trailers: HeaderBlock): Buffer {
    if (this.#isFailed) return NOTHING;
    if (this.#frames.pendingBytes > 0) return this.#fail("its last message is cut off");
    const code = readCode(trailers);
    if (this.#isStream && this.#messages > 0) return this.#endStream();
    // The head of a stream that has no message may be on its way already.
    const isHeadFree = this.holdsHead || trailers === this.#head;
    if (!isHeadFree) return this.#endStream();
    const isOk = code === 0;
    if (this.#config.convertsStatus && !isOk && this.#messages === 0) return this.#writeStatus(code, trailers);
    const head = this.#head;
    head.set(":status", String(code === undefined ? 503 : httpStatusFor(code)));
    if (trailers !== head) copyFields(trailers, head);
    if (this.#isStream) return this.#endStream();
    if (isOk && this.#messages === 0) return this.#fail("a unary answer has no message");
    head.set("content-length", String(this.#body.length));
    return this.#body;
  }

  #endStream(): Buffer {
    if (this.#binding.isHttpBodyResponse || this.#config.print.stream !== "array") return NOTHING;
    return Buffer.from(this.#messages === 0 ? "[]" : "]");
  }

  /** `google.rpc.Status` as the body, out of `grpc-status-details-bin` or made of the other two. */
  #writeStatus(code: number | undefined, trailers: HeaderBlock): Buffer {
    const head = this.#head;
    const body = Buffer.from(this.#statusText(code ?? 2, trailers));
    for (const name of STATUS_FIELDS) head.delete(name);
    head.set(":status", String(code === undefined ? 503 : httpStatusFor(code)));
    head.set("content-type", "application/json");
    head.set("content-length", String(body.length));
    return body;
  }

  #statusText(code: number, trailers: HeaderBlock): string {
    const status = readStatus(trailers) ?? create(StatusSchema, { code });
    if (!trailers.has("grpc-status-details-bin"))
      status.message = decodeGrpcMessage(trailers.get("grpc-message") ?? "");
    const indent = this.#config.print.hasWhitespace ? 1 : undefined;
    const end = indent === undefined ? "" : "\n";
    try {
      return JSON.stringify(toJson(StatusSchema, status, this.#options()), undefined, indent) + end;
    } catch {
      // A detail of a type that the descriptor set does not have.
      status.details = [];
      return JSON.stringify(toJson(StatusSchema, status, this.#options()), undefined, indent) + end;
    }
  }

  #fail(detail: string): Buffer {
    this.#isFailed = true;
    this.#exchange.answer(replyBadResponse(detail));
    return NOTHING;
  }
}

function readCode(trailers: HeaderBlock): number | undefined {
  const text = trailers.get("grpc-status") ?? "";
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}

function readStatus(trailers: HeaderBlock): Status | undefined {
  const details = trailers.get("grpc-status-details-bin");
  if (details === undefined) return undefined;
  try {
    return fromBinary(StatusSchema, Buffer.from(details, "base64"));
  } catch {
    return undefined;
  }
}

function copyFields(trailers: HeaderBlock, head: HeaderBlock): void {
  for (const name of STATUS_FIELDS) {
    const value = trailers.get(name);
    if (value !== undefined) head.set(name, value);
  }
}

function readHttpBody(message: Message, fields: readonly DescField[]): HttpBody {
  let at: unknown = message;
  for (const field of fields) {
    const object = at as Record<string, unknown> | undefined; // as: a message's fields are its properties
    if (field.oneof === undefined) at = object?.[field.localName];
    else {
      const chosen = object?.[field.oneof.localName] as { case?: string; value?: unknown } | undefined; // as: protobuf-es keeps a oneof so
      at = chosen?.case === field.localName ? chosen.value : undefined;
    }
  }
  const body = at as HttpBody | undefined; // as: methods.ts saw that the type is google.api.HttpBody
  return body ?? create(HttpBodySchema);
}

/** What a field that is not set says, as JSON prints it. */
function emptyJson(field: DescField): JsonValue {
  if (field.fieldKind === "list") return [];
  if (field.fieldKind === "map" || field.fieldKind === "message") return {};
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return null;
  if (field.fieldKind === "enum") return field.enum.values[0]?.name ?? 0;
  const zero = scalarZeroValue(field.scalar, true);
  return typeof zero === "object" ? "" : typeof zero === "bigint" ? String(zero) : zero;
}
