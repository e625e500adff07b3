// Holds our JSON of messages to that of @bufbuild/protobuf, for a sample of every message of xDS with every field set.
import assert from "node:assert/strict";
import test from "node:test";
import {
  fromBinary,
  fromJson,
  ScalarType,
  toBinary,
  toJson,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import { Edition } from "@bufbuild/protobuf/wkt";
import { registry } from "../xds/any.ts";
import { readJson, writeJson } from "./json.ts";

const ANY: JsonObject = {
  "@type": "type.googleapis.com/envoy.config.core.v3.HeaderValue",
  key: "x-a",
  value: "1",
};

const messages = [...registry].filter(
  (desc): desc is DescMessage => desc.kind === "message" && !desc.typeName.startsWith("google.protobuf."),
);

test("every message is read from JSON and written to JSON as the generator's own runtime would", () => {
  assert.ok(messages.length > 500);
  let fields = 0;
  // Of a oneof each sample has another member, as long as there are any.
  for (const schema of messages) {
    const variants = Math.max(1, ...schema.oneofs.map((oneof) => oneof.fields.length));
    for (let variant = 0; variant < variants; variant++) {
      const json = sampleOf(schema, variant, 1);
      fields += Object.keys(json).length;
      const theirs = fromJson(schema, json, { registry });
      const bytes = toBinary(schema, theirs);
      assert.deepEqual(toBinary(schema, readJson(schema, json, registry)), bytes, `${schema.typeName} ${variant}`);
      const back = fromBinary(schema, bytes);
      assert.deepEqual(writeJson(schema, back, registry), toJson(schema, back, { registry }), schema.typeName);
    }
  }
  assert.ok(fields > 2000);
});

test("an empty message has the zeros that it has after reading no bytes", () => {
  for (const schema of messages) {
    // proto2 keeps its zeros in the prototype.
    if (schema.file.edition !== Edition.EDITION_PROTO3) continue;
    assert.deepEqual(readJson(schema, {}, registry), fromBinary(schema, new Uint8Array(0)), schema.typeName);
  }
});

test("an Any is held as a message until its bytes are asked for", () => {
  const schema = registry.getMessage("envoy.config.core.v3.TypedExtensionConfig");
  assert.ok(schema);
  const read = readJson(schema, { name: "a", typedConfig: ANY }, registry);
  const again = fromBinary(schema, toBinary(schema, read));
  assert.deepEqual(toJson(schema, again, { registry }), { name: "a", typedConfig: ANY });
});

test("an unknown name, value or type is an error", () => {
  const locality = registry.getMessage("envoy.config.core.v3.Locality");
  const source = registry.getMessage("envoy.config.core.v3.ApiConfigSource");
  const extension = registry.getMessage("envoy.config.core.v3.TypedExtensionConfig");
  assert.ok(locality && source && extension);
  assert.throws(() => readJson(locality, { planet: "" }, registry), /Locality has no field planet/);
  assert.throws(() => readJson(source, { apiType: "MAIL" }, registry), /ApiType has no value "MAIL"/);
  const typedConfig = { "@type": "type.googleapis.com/a.B" };
  assert.throws(() => readJson(extension, { typedConfig }, registry), /nothing is known of type.googleapis.com\/a.B/);
});

function sampleOf(schema: DescMessage, variant: number, depth: number): JsonObject {
  const json: JsonObject = {};
  for (const member of schema.members) {
    const field = member.kind === "oneof" ? member.fields[variant % member.fields.length] : member;
    if (field === undefined) continue;
    const value = sampleField(field, variant, depth);
    if (value !== undefined) json[field.jsonName] = value;
  }
  return json;
}

function sampleField(field: DescField, variant: number, depth: number): JsonValue | undefined {
  const single = sampleSingle(field, variant, depth);
  if (single === undefined) return undefined;
  if (field.fieldKind === "list") return [single, single];
  if (field.fieldKind !== "map") return single;
  return field.mapKey === ScalarType.STRING ? { a: single, "b c": single } : { 1: single };
}

function sampleSingle(field: DescField, variant: number, depth: number): JsonValue | undefined {
  if (field.enum !== undefined) return field.enum.values[variant % field.enum.values.length]?.name;
  if (field.message === undefined) return sampleScalar(field.scalar, variant);
  switch (field.message.typeName) {
    case "google.protobuf.Any":
      return ANY;
    case "google.protobuf.Duration":
      return ["1.500s", "-0.250s", "3s", "0s", "-2.000000001s"][variant % 5];
    case "google.protobuf.Timestamp":
      return "2026-01-02T03:04:05Z";
    case "google.protobuf.Struct":
      return { a: [1, "b", null, { c: true }] };
    case "google.protobuf.Value":
      return ["text", 1, null, [true], { a: 1 }][variant % 5];
    case "google.protobuf.ListValue":
      return [1, "a"];
    case "google.protobuf.Empty":
      return {};
    default: {
      const inner = /^google\.protobuf\.\w+Value$/.test(field.message.typeName) ? field.message.fields[0] : undefined;
      if (inner !== undefined) return sampleScalar(inner.scalar, variant);
      return depth === 0 ? {} : sampleOf(field.message, variant, depth - 1);
    }
  }
}

/** Zeros too: they are left out of JSON where a field has no presence. */
function sampleScalar(type: ScalarType | undefined, variant: number): JsonValue {
  const isZero = variant % 3 === 2;
  if (type === ScalarType.STRING) return isZero ? "" : "\u00e4 text";
  if (type === ScalarType.BOOL) return !isZero;
  if (type === ScalarType.BYTES) return isZero ? "" : "AP+/";
  if (type === ScalarType.INT64 || type === ScalarType.UINT64) return isZero ? "0" : "9007199254740993";
  if (type === ScalarType.DOUBLE) return isZero ? 0 : 0.1;
  if (type === ScalarType.FLOAT) return isZero ? 0 : 1.25;
  return isZero ? "0" : 7;
}
