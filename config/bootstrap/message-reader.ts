// A YAML or JSON value to protobuf JSON, led by the message's descriptor, so that every mistake is found with its path.
// protobuf-es's own fromJson stops at the first and names only message and key.
import {
  ScalarType,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
} from "@bufbuild/protobuf";
import type { ConfigErrorCode } from "../load/config-error.ts";
import type { JsonPath } from "../load/json-path.ts";
import { describeValue, isObject } from "../load/values.ts";
import { suggest } from "../schema/suggest.ts";
import { registry } from "../xds/any.ts";
import { typeNameOf, typeUrlOf } from "../xds/type-urls.ts";

export interface ReadProblem {
  /** Envoy's names, as issues of xDS have them. */
  readonly path: string;
  readonly code: ConfigErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly at: "key" | "value";
}

const TYPED_STRUCT = typeUrlOf("xds.type.v3.TypedStruct");
/** RFC 8259 has no durations; protobuf's JSON writes seconds with at most nine decimals. */
const DURATION = /^-?\d{1,12}(\.\d{1,9})?s$/;

const INTEGERS: { readonly [type in ScalarType]?: readonly [min: bigint, max: bigint] } = {
  [ScalarType.INT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SINT32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.SFIXED32]: [-(2n ** 31n), 2n ** 31n - 1n],
  [ScalarType.UINT32]: [0n, 2n ** 32n - 1n],
  [ScalarType.FIXED32]: [0n, 2n ** 32n - 1n],
  [ScalarType.INT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SINT64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.SFIXED64]: [-(2n ** 63n), 2n ** 63n - 1n],
  [ScalarType.UINT64]: [0n, 2n ** 64n - 1n],
  [ScalarType.FIXED64]: [0n, 2n ** 64n - 1n],
};

/** Reads one document. What is wrong is left out of the JSON and told in `problems`; `written` says where each path stands. */
export class MessageReader {
  readonly problems: ReadProblem[] = [];
  /** From Envoy's path to the path in the document, whose keys may be lowerCamel. */
  readonly written = new Map<string, JsonPath>();

  read(schema: DescMessage, value: unknown): JsonObject {
    return this.#message(schema, value, "", []) ?? {};
  }

  #message(schema: DescMessage, value: unknown, path: string, steps: JsonPath): JsonObject | undefined {
    this.written.set(path, steps);
    if (!isObject(value)) return this.#wrongType(path, `a mapping (${schema.typeName})`, value);
    const result: JsonObject = {};
    const setBy = new Map<string, string>();
    for (const [key, item] of Object.entries(value)) {
      const field = schema.fields.find((candidate) => candidate.name === key || candidate.jsonName === key);
      const at = field === undefined ? join(path, key) : join(path, field.name);
      const itemSteps = [...steps, key];
      this.written.set(at, itemSteps);
      if (field === undefined) this.#unknownField(schema, key, at);
      else if (this.#isFree(field, key, at, setBy) && item !== null) {
        const read = this.#field(field, item, at, itemSteps);
        if (read !== undefined) result[field.jsonName] = read;
      }
    }
    return result;
  }

  #unknownField(schema: DescMessage, key: string, path: string): void {
    const names = schema.fields.map((field) => (/[A-Z]/.test(key) ? field.jsonName : field.name));
    const near = suggest(key, names);
    const hint = near === undefined ? {} : { hint: `did you mean ${near}?` };
    this.#report(path, "HDL_CONFIG_UNKNOWN_FIELD", `${schema.typeName} has no field "${key}"`, { at: "key", ...hint });
  }

  /** A field in both spellings, or two members of one oneof: one of them would silently be lost. */
  #isFree(field: DescField, key: string, path: string, setBy: Map<string, string>): boolean {
    const slot = field.oneof === undefined ? field.name : `oneof ${field.oneof.name}`;
    const other = setBy.get(slot);
    setBy.set(slot, key);
    if (other === undefined) return true;
    this.#report(path, "HDL_CONFIG_RULE", `${key} cannot be set beside ${other}`, { at: "key" });
    return false;
  }

  #field(field: DescField, value: unknown, path: string, steps: JsonPath): JsonValue | undefined {
    if (field.fieldKind === "list") {
      if (!Array.isArray(value)) return this.#wrongType(path, "a list", value);
      return value.flatMap((item: unknown, index) => {
        const read = this.#single(field, item, `${path}[${index}]`, [...steps, index]);
        return read === undefined ? [] : [read];
      });
    }
    if (field.fieldKind === "map") {
      if (!isObject(value)) return this.#wrongType(path, "a mapping", value);
      const entries: JsonObject = {};
      for (const [key, item] of Object.entries(value)) {
        const read = this.#single(field, item, `${path}["${key}"]`, [...steps, key]);
        if (read !== undefined) entries[key] = read;
      }
      return entries;
    }
    return this.#single(field, value, path, steps);
  }

  #single(field: DescField, value: unknown, path: string, steps: JsonPath): JsonValue | undefined {
    this.written.set(path, steps);
    if (field.message !== undefined) return this.#nested(field.message, value, path, steps);
    if (field.enum !== undefined) return this.#enum(field.enum, value, path);
    return field.scalar === undefined ? undefined : this.#scalar(field.scalar, value, path);
  }

  #nested(schema: DescMessage, value: unknown, path: string, steps: JsonPath): JsonValue | undefined {
    switch (schema.typeName) {
      case "google.protobuf.Any":
        return this.#any(value, path, steps);
      case "google.protobuf.Duration":
        if (typeof value === "string" && DURATION.test(value)) return value;
        return this.#wrongType(path, "a duration", value, 'seconds with an "s", as 5s or 0.25s');
      case "google.protobuf.Struct":
        if (!isObject(value)) return this.#wrongType(path, "a mapping", value);
        return this.#json(value, path, steps);
      case "google.protobuf.Value":
        return this.#json(value, path, steps);
      case "google.protobuf.ListValue":
        if (!Array.isArray(value)) return this.#wrongType(path, "a list", value);
        return this.#json(value, path, steps);
      default: {
        const inner = /^google\.protobuf\.\w+Value$/.test(schema.typeName) ? schema.fields[0]?.scalar : undefined;
        return inner === undefined ? this.#message(schema, value, path, steps) : this.#scalar(inner, value, path);
      }
    }
  }

  /** `"@type"` says which message the rest is. One that we do not know goes on as a TypedStruct, for others to judge. */
  #any(value: unknown, path: string, steps: JsonPath): JsonObject | undefined {
    if (!isObject(value)) return this.#wrongType(path, "a mapping with @type", value);
    const { "@type": typeUrl, ...rest } = value;
    if (typeof typeUrl !== "string" || typeUrl === "") {
      const hint = 'say which message it is: "@type": type.googleapis.com/...';
      this.#report(path, "HDL_CONFIG_MISSING_FIELD", "must have @type", { hint });
      return undefined;
    }
    const schema = registry.getMessage(typeNameOf(typeUrl));
    if (schema === undefined) return { "@type": TYPED_STRUCT, typeUrl, value: this.#json(rest, path, steps) };
    return { "@type": typeUrl, ...this.#message(schema, rest, path, steps) };
  }

  #json(value: unknown, path: string, steps: JsonPath): JsonValue {
    this.written.set(path, steps);
    if (Array.isArray(value))
      return value.map((item, index) => this.#json(item, `${path}[${index}]`, [...steps, index]));
    if (!isObject(value)) return value as JsonValue; // a scalar of YAML's core schema is one of JSON
    const object: JsonObject = {};
    for (const [key, item] of Object.entries(value)) {
      const itemSteps = [...steps, key];
      // Settings inside a Struct (node.metadata.heddle) are told under their snake_case names.
      this.written.set(join(path, toSnakeCase(key)), itemSteps);
      object[key] = this.#json(item, join(path, key), itemSteps);
    }
    return object;
  }

  #enum(desc: DescEnum, value: unknown, path: string): JsonValue | undefined {
    const names = desc.values.map((item) => item.name);
    if (typeof value === "string" && names.includes(value)) return value;
    if (typeof value === "number" && desc.values.some((item) => item.number === value)) return value;
    const near = typeof value === "string" ? suggest(value, names) : undefined;
    const hint = near === undefined ? {} : { hint: `did you mean ${near}?` };
    const message = `must be one of ${names.join(", ")}: got ${describeValue(value)}`;
    this.#report(path, "HDL_CONFIG_INVALID_VALUE", message, hint);
    return undefined;
  }

  #scalar(type: ScalarType, value: unknown, path: string): JsonValue | undefined {
    if (type === ScalarType.STRING) {
      if (typeof value === "string") return value;
      return this.#wrongType(
        path,
        "a string",
        value,
        isObject(value) || Array.isArray(value) ? undefined : "put it in quotes",
      );
    }
    if (type === ScalarType.BOOL)
      return typeof value === "boolean" ? value : this.#wrongType(path, "true or false", value);
    if (type === ScalarType.BYTES) {
      const isBase64 = typeof value === "string" && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value);
      return isBase64 ? value : this.#wrongType(path, "bytes in base64", value);
    }
    const range = INTEGERS[type];
    if (range === undefined) {
      const number = typeof value === "string" && value !== "" ? Number(value) : value;
      return typeof number === "number" && Number.isFinite(number) ? number : this.#wrongType(path, "a number", value);
    }
    return this.#integer(range, value, path);
  }

  #integer([min, max]: readonly [bigint, bigint], value: unknown, path: string): JsonValue | undefined {
    const isInteger =
      typeof value === "number" ? Number.isInteger(value) : typeof value === "string" && /^-?\d+$/.test(value);
    if (!isInteger) return this.#wrongType(path, "a whole number", value);
    const number = BigInt(value as number | string);
    if (number >= min && number <= max) return String(number);
    this.#report(path, "HDL_CONFIG_OUT_OF_RANGE", `must be between ${min} and ${max}: got ${number}`);
    return undefined;
  }

  #wrongType(path: string, wanted: string, value: unknown, hint?: string): undefined {
    const message = `must be ${wanted}: got ${describeValue(value)}`;
    this.#report(path, "HDL_CONFIG_WRONG_TYPE", message, hint === undefined ? {} : { hint });
  }

  #report(
    path: string,
    code: ConfigErrorCode,
    message: string,
    more: { readonly hint?: string; readonly at?: "key" | "value" } = {},
  ): void {
    this.problems.push({ path, code, message, at: "value", ...more });
  }
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** `drainTimeMs` is `drain_time_ms`. */
export function toSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
