// The request's body: JSON (or raw bytes for google.api.HttpBody) on one side, gRPC messages on the other.
import {
  create,
  fromBinary,
  fromJson,
  mergeFromJson,
  toBinary,
  type DescField,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";

import { HttpBodySchema } from "#config/xds/gen/google/api/httpbody_pb.ts";
import { describeError } from "#lib/errors.ts";
import { encodeFrame } from "#lib/grpc/frames.ts";

import type { BodyTransform, Exchange } from "../filter.ts";

import { findCollision, toFieldJson, type FieldValue } from "./bindings.ts";
import type { GrpcJsonConfig } from "./config.ts";
import { JsonArraySplitter } from "./json-array.ts";
import type { Binding, Methods } from "./methods.ts";
import { BodyTooLargeError, replyBadRequest, replyTooLarge } from "./replies.ts";

const NOTHING = Buffer.alloc(0);

export class RequestBodyTransform implements BodyTransform {
  readonly holdsHead = false;
  readonly #exchange: Exchange;
  readonly #binding: Binding;
  readonly #methods: Methods;
  readonly #config: GrpcJsonConfig;
  readonly #contentType: string;
  readonly #elements: JsonArraySplitter | undefined;
  /** Taken by the first message. */
  #values: readonly FieldValue[];
  #isFirst = true;
  #kept: Buffer[] = [];
  #keptBytes = 0;

  constructor(
    exchange: Exchange,
    binding: Binding,
    values: readonly FieldValue[],
    methods: Methods,
    config: GrpcJsonConfig,
  ) {
    this.#exchange = exchange;
    this.#binding = binding;
    this.#values = values;
    this.#methods = methods;
    this.#config = config;
    this.#contentType = exchange.request.get("content-type") ?? "";
    const isArray = this.#isStream && binding.body !== undefined && !binding.isHttpBodyRequest;
    this.#elements = isArray ? new JsonArraySplitter(config.maxRequestBytes) : undefined;
  }

  get #isStream(): boolean {
    const { methodKind } = this.#binding.method;
    return methodKind === "client_streaming" || methodKind === "bidi_streaming";
  }

  onData(bytes: Buffer, start: number, end: number, last: boolean): Buffer {
    try {
      return this.#transcode(bytes, start, end, last);
    } catch (error) {
      if (error instanceof BodyTooLargeError) this.#exchange.answer(replyTooLarge(this.#config.maxRequestBytes));
      else this.#exchange.answer(replyBadRequest(describeError(error)));
      return NOTHING;
    }
  }

  onTrailers(trailers: { clear(): void }): Buffer {
    trailers.clear();
    return this.onData(NOTHING, 0, 0, true);
  }

  #transcode(bytes: Buffer, start: number, end: number, last: boolean): Buffer {
    const { body, isHttpBodyRequest } = this.#binding;
    if (this.#elements !== undefined) {
      const frames = this.#elements.split(bytes, start, end, last).map((text) => this.#encodeJson(text));
      return frames.length === 1 ? (frames[0] ?? NOTHING) : Buffer.concat(frames);
    }
    // Each piece of an upload is a message, so that it need not be kept.
    if (this.#isStream && isHttpBodyRequest) {
      if (end === start && !(last && this.#isFirst)) return NOTHING;
      return this.#encodeHttpBody(bytes.subarray(start, end));
    }
    if (body !== undefined) this.#keep(bytes, start, end);
    if (!last) return NOTHING;
    const whole = Buffer.concat(this.#kept);
    return isHttpBodyRequest ? this.#encodeHttpBody(whole) : this.#encodeJson(whole.toString());
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#keptBytes += end - start;
    if (this.#keptBytes > this.#config.maxRequestBytes) throw new BodyTooLargeError();
    if (end > start) this.#kept.push(Buffer.from(bytes.subarray(start, end)));
  }

  #encodeJson(text: string): Buffer {
    const { registry } = this.#methods;
    const { method, body = [] } = this.#binding;
    let json: JsonValue = text.trim() === "" ? {} : (JSON.parse(text) as JsonValue);
    if (text.trim() !== "") for (const field of body.toReversed()) json = { [field.name]: json };
    if (this.#config.rejectsCollisions) this.#refuseCollisions(json);
    return this.#finish(fromJson(method.input, json, { registry, ignoreUnknownFields: true }));
  }

  #encodeHttpBody(data: Uint8Array): Buffer {
    const { method, body = [] } = this.#binding;
    const contentType = this.#isFirst ? this.#contentType : "";
    const httpBody = toBinary(HttpBodySchema, create(HttpBodySchema, { contentType, data }));
    if (body.length === 0) return this.#finish(fromBinary(method.input, httpBody));
    const message = create(method.input);
    setAt(message, body, httpBody);
    return this.#finish(message);
  }

  /** The path's and the query's values win over the body's. */
  #finish(message: Message): Buffer {
    const { registry } = this.#methods;
    const { input } = this.#binding.method;
    for (const value of this.#values) mergeFromJson(input, message, toFieldJson(value), { registry });
    this.#values = [];
    this.#isFirst = false;
    return encodeFrame(0, toBinary(input, message));
  }

  #refuseCollisions(json: JsonValue): void {
    for (const value of this.#values) {
      const name = findCollision(json, value);
      if (name !== undefined) throw new Error(`the body and the URL give ${name} different values`);
    }
  }
}

/** Puts a message's bytes at a path of fields. */
function setAt(message: Message, fields: readonly DescField[], bytes: Uint8Array): void {
  let at = message as unknown as Record<string, unknown>; // as: a message's fields are its properties
  for (const [i, field] of fields.entries()) {
    if (field.fieldKind !== "message") return;
    const value = i === fields.length - 1 ? fromBinary(field.message, bytes) : create(field.message);
    if (field.oneof === undefined) at[field.localName] = value;
    else at[field.oneof.localName] = { case: field.localName, value };
    at = value as unknown as Record<string, unknown>; // as: likewise
  }
}
