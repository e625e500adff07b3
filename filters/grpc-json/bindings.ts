// What the path and the query say of a request, as fields of its message.
import { ScalarType, type DescField, type JsonObject, type JsonValue } from "@bufbuild/protobuf";

import type { GrpcJsonConfig } from "./config.ts";
import { findFields, type Binding } from "./methods.ts";
import { unescapePath } from "./path-matcher.ts";

export interface FieldValue {
  readonly fields: readonly DescField[];
  readonly text: string;
}

/** A parameter of the query names no field. */
export class UnknownQueryError extends Error {
  constructor(name: string, message: string) {
    super(`the query parameter "${name}" is no field of ${message}`);
  }
}

/** The path's variables in front of the query's parameters. Throws an `UnknownQueryError` or a `BadEscapeError`. */
export function readBindings(
  binding: Binding,
  pathValues: readonly string[],
  query: string,
  config: GrpcJsonConfig,
): readonly FieldValue[] {
  const values: FieldValue[] = binding.variables.map((fields, i) => ({ fields, text: pathValues[i] ?? "" }));
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const mark = pair.indexOf("=");
    const name = mark < 0 ? pair : pair.slice(0, mark);
    if (config.ignoredQuery.has(name)) continue;
    const fields = findFields(binding.method.input, name.split("."));
    if (fields === undefined) {
      if (config.ignoresUnknownQuery) continue;
      throw new UnknownQueryError(name, binding.method.input.typeName);
    }
    const raw = mark < 0 ? "" : pair.slice(mark + 1);
    const text = unescapePath(config.unescapesPlus ? raw.replaceAll("+", " ") : raw, "ALL_CHARACTERS");
    values.push({ fields, text });
  }
  return values;
}

/** As JSON of the request's message. Throws when the text is no value of the field's type. */
export function toFieldJson({ fields, text }: FieldValue): JsonObject {
  const last = fields.at(-1);
  if (last === undefined) throw new Error("a value must have a field");
  let json: JsonValue = last.fieldKind === "list" ? [readText(last, text)] : readText(last, text);
  for (const field of fields.toReversed()) json = { [field.name]: json };
  return json as JsonObject; // as: there is one field at least
}

/** What Envoy takes for them. */
const TRUE = /^(?:true|t|yes|y|1)$/i;
const FALSE = /^(?:false|f|no|n|0)$/i;

function readText(field: DescField, text: string): JsonValue {
  if (field.fieldKind === "map") throw new Error(`${field.name} is a map, which no parameter can give`);
  if (field.enum !== undefined) return /^-?\d+$/.test(text) ? Number(text) : text;
  const type = field.message?.typeName;
  const isBoolean = type === "google.protobuf.BoolValue" || field.scalar === ScalarType.BOOL;
  if (isBoolean && TRUE.test(text)) return true;
  if (isBoolean && FALSE.test(text)) return false;
  if (isBoolean) throw new Error(`${field.name} must be true or false: got ${JSON.stringify(text)}`);
  return text;
}

/** The path of JSON names that the body has for these fields too, with another value. */
export function findCollision(body: JsonValue, { fields, text }: FieldValue): string | undefined {
  if (fields.at(-1)?.fieldKind === "list") return undefined;
  let at: JsonValue | undefined = body;
  for (const field of fields) {
    if (at === null || typeof at !== "object" || Array.isArray(at)) return undefined;
    at = at[field.jsonName] ?? at[field.name];
  }
  if (at === undefined || (typeof at !== "object" && String(at) === text)) return undefined;
  return fields.map(({ name }) => name).join(".");
}
