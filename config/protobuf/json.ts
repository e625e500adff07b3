// Messages from protobuf's JSON and back, one field after the other as they come. protobuf-es's fromJson and toJson compile a reader
// for every message that could come first: 600 for a bootstrap, 55 ms of each start, of which it uses sixty.
import {
  create,
  fromJson,
  ScalarType,
  toBinary,
  toJson,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type Message,
  type Registry,
} from "@bufbuild/protobuf";
import { IMPLICIT, isLong, makeZero } from "./zero.ts";
import type { Duration } from "@bufbuild/protobuf/wkt";

type Fields = Record<string, unknown>;
interface Chosen {
  readonly case?: string;
  readonly value?: unknown;
}

/** An Any whose message is at hand; its bytes are made when they are asked for. */
export class HeldAny {
  readonly $typeName = "google.protobuf.Any";
  readonly typeUrl: string;
  readonly schema: DescMessage;
  readonly message: Message;

  constructor(typeUrl: string, schema: DescMessage, message: Message) {
    this.typeUrl = typeUrl;
    this.schema = schema;
    this.message = message;
  }

  get value(): Uint8Array<ArrayBuffer> {
    return toBinary(this.schema, this.message);
  }
}

const WRAPPER = /^google\.protobuf\.(?:Double|Float|U?Int(?:32|64)|Bool|String|Bytes)Value$/;

/**
 * A message from JSON that has been checked: every name is a field's `jsonName` and every value of the right kind (as MessageReader
 * gives it). Each `Any` in it is a HeldAny.
 */
export function readJson(schema: DescMessage, json: JsonObject, registry: Registry): Message {
  const fields = makeZero(schema);
  for (const [key, value] of Object.entries(json)) {
    const field = schema.fields.find(({ jsonName }) => jsonName === key);
    if (field === undefined) throw new Error(`${schema.typeName} has no field ${key}`);
    if (value === null && !isNullable(field)) continue;
    if (field.oneof === undefined) fields[field.localName] = readField(field, value, registry);
    else fields[field.oneof.localName] = { case: field.localName, value: readField(field, value, registry) };
  }
  return fields as unknown as Message; // as: what `create` gives
}

/** null is a value there; elsewhere it stands for nothing. */
function isNullable(field: DescField): boolean {
  return field.message?.typeName === "google.protobuf.Value" || field.enum?.typeName === "google.protobuf.NullValue";
}

function readField(field: DescField, json: JsonValue | undefined, registry: Registry): unknown {
  if (field.fieldKind === "list") return (json as JsonValue[]).map((item) => readSingle(field, item, registry)); // as: checked
  if (field.fieldKind === "map") {
    const entries = Object.entries(json as JsonObject); // as: checked
    return Object.fromEntries(entries.map(([key, item]) => [key, readSingle(field, item, registry)]));
  }
  if (isUnwrapped(field)) return readScalar(field.message?.fields[0]?.scalar, json);
  return readSingle(field, json, registry);
}

function readSingle(field: DescField, json: JsonValue | undefined, registry: Registry): unknown {
  if (field.message !== undefined) return readMessage(field.message, json, registry);
  return field.enum === undefined ? readScalar(field.scalar, json) : readEnum(field.enum, json);
}

/** Wrappers are values, except among the members of a oneof, in lists and in maps. */
function isUnwrapped(field: DescField): boolean {
  return field.fieldKind === "message" && field.oneof === undefined && WRAPPER.test(field.message.typeName);
}

function readMessage(schema: DescMessage, json: JsonValue | undefined, registry: Registry): unknown {
  switch (schema.typeName) {
    case "google.protobuf.Any":
      return readAny(json as JsonObject, registry); // as: checked
    case "google.protobuf.Duration":
      return readDuration(schema, json as string); // as: checked
    case "google.protobuf.Struct":
      return json;
    default:
      if (WRAPPER.test(schema.typeName))
        return Object.assign(create(schema), { value: readScalar(schema.fields[0]?.scalar, json) });
      if (schema.typeName.startsWith("google.protobuf.")) return fromJson(schema, json ?? null, { registry });
      return readJson(schema, json as JsonObject, registry); // as: checked
  }
}

function readAny(json: JsonObject, registry: Registry): unknown {
  const { "@type": typeUrl, ...rest } = json;
  const url = typeUrl as string; // as: checked
  const schema = registry.getMessage(url.slice(url.lastIndexOf("/") + 1));
  if (schema === undefined) throw new Error(`nothing is known of ${url}`);
  // Messages with a JSON of their own have it under "value".
  if (schema.typeName.startsWith("google.protobuf."))
    return new HeldAny(url, schema, fromJson(schema, rest["value"] ?? rest, { registry }));
  return new HeldAny(url, schema, readJson(schema, rest, registry));
}

function readDuration(schema: DescMessage, text: string): Duration {
  const [, sign = "", seconds = "", decimals = ""] = /^(-?)(\d+)(?:\.(\d+))?s$/.exec(text) ?? [];
  const factor = sign === "-" ? -1 : 1;
  if (Number(seconds) > 315_576_000_000) throw new Error(`a duration is at most 10,000 years: got ${text}`);
  return Object.assign(create(schema), {
    seconds: BigInt(factor) * BigInt(seconds),
    nanos: factor * Number(decimals.padEnd(9, "0")) + 0,
  }) as unknown as Duration; // as: its schema
}

function readEnum(desc: DescEnum, json: JsonValue | undefined): number {
  if (typeof json === "number") return json;
  if (json === null) return 0;
  const value = desc.values.find(({ name }) => name === json);
  if (value === undefined) throw new Error(`${desc.typeName} has no value ${JSON.stringify(json)}`);
  return value.number;
}

function readScalar(type: ScalarType | undefined, json: JsonValue | undefined): unknown {
  if (type === ScalarType.BOOL || type === ScalarType.STRING) return json;
  if (type === ScalarType.BYTES) return Uint8Array.from(Buffer.from(json as string, "base64")); // as: checked
  if (type === ScalarType.FLOAT) return Math.fround(Number(json));
  return isLong(type) ? BigInt(json as string | number) : Number(json); // as: checked
}

/** protobuf's JSON of a message, as protobuf-es writes it: zeros of fields without presence are left out. */
export function writeJson(schema: DescMessage, message: Message, registry: Registry): JsonObject {
  const json: JsonObject = {};
  const fields = message as unknown as Fields;
  for (const field of schema.fields) {
    const value = valueOf(field, fields);
    if (value !== undefined) json[field.jsonName] = writeField(field, value, registry);
  }
  return json;
}

function valueOf(field: DescField, fields: Fields): unknown {
  if (field.oneof !== undefined) {
    const chosen = fields[field.oneof.localName] as Chosen; // as: how protobuf-es keeps a oneof
    return chosen.case === field.localName ? chosen.value : undefined;
  }
  // proto2 has its defaults in the prototype.
  const value = Object.hasOwn(fields, field.localName) ? fields[field.localName] : undefined;
  if (value === undefined) return undefined;
  if (field.fieldKind === "list") return (value as readonly unknown[]).length === 0 ? undefined : value; // as: a list
  if (field.fieldKind === "map") return Object.keys(value as Fields).length === 0 ? undefined : value; // as: a map
  return field.presence === IMPLICIT && isZero(value) ? undefined : value;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === "" || value === false || value === 0n || Object.is(value, 0);
}

function writeField(field: DescField, value: unknown, registry: Registry): JsonValue {
  if (field.fieldKind === "list")
    return (value as readonly unknown[]).map((item) => writeSingle(field, item, registry)); // as: a list
  if (field.fieldKind === "map") {
    const entries = Object.entries(value as Fields); // as: a map
    return Object.fromEntries(entries.map(([key, item]) => [key, writeSingle(field, item, registry)]));
  }
  if (isUnwrapped(field)) return writeScalar(field.message?.fields[0]?.scalar, value);
  return writeSingle(field, value, registry);
}

function writeSingle(field: DescField, value: unknown, registry: Registry): JsonValue {
  if (field.message !== undefined) return writeMessage(field.message, value as Message, registry); // as: its type
  if (field.enum === undefined) return writeScalar(field.scalar, value);
  if (field.enum.typeName === "google.protobuf.NullValue") return null;
  return field.enum.value[value as number]?.jsonName ?? (value as number); // as: a number
}

function writeMessage(schema: DescMessage, value: Message, registry: Registry): JsonValue {
  if (schema.typeName === "google.protobuf.Struct") return value as unknown as JsonObject; // as: how protobuf-es keeps one
  return schema.typeName.startsWith("google.protobuf.")
    ? toJson(schema, value, { registry })
    : writeJson(schema, value, registry);
}

function writeScalar(type: ScalarType | undefined, value: unknown): JsonValue {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (type === ScalarType.FLOAT || type === ScalarType.DOUBLE)
    return Number.isFinite(value) ? (value as number) : String(value); // as: a number
  return value as JsonValue; // as: the other scalars are JSON
}
