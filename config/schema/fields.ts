// The words that kinds are written with: each makes a TypeBox schema that is a Kubernetes structural schema too.

import { Type, type Static, type TObject, type TProperties, type TSchema } from "typebox";
import { formats, type FormatName, type TextFormat } from "./formats.ts";
import type { CelRule, StructuralSchema } from "./structural.ts";

type Options = Omit<StructuralSchema, "type" | "description" | "properties" | "required">;

/** Declared type T, checked as the structural schema says. */
export type Field<T> = TSchema & { "~unsafe": T };

function field<T>(schema: StructuralSchema): Field<T> {
  return Type.Unsafe<T>(schema);
}

/** Text of at most 1024 characters, if the options do not say otherwise. */
export function text(description: string, options: Options = {}): Field<string> {
  return field({ type: "string", maxLength: 1024, ...options, description });
}

/** Text of a form that has a name. */
export function formatted(format: FormatName, description: string, options: Options = {}): Field<string> {
  const { pattern, minLength, maxLength }: TextFormat = formats[format];
  return field({
    type: "string",
    ...(minLength === undefined ? {} : { minLength }),
    ...(maxLength === undefined ? {} : { maxLength }),
    pattern,
    ...options,
    description,
    "x-heddle-format": format,
  });
}

export function duration(description: string, options: Options = {}): Field<string> {
  return formatted("duration", description, options);
}

/** One of a few words. */
export function choice<const Word extends string>(
  words: readonly Word[],
  description: string,
  options: Options = {},
): Field<Word> {
  return field({ type: "string", enum: words, ...options, description });
}

/** A whole number. */
export function whole(description: string, minimum: number, maximum: number, options: Options = {}): Field<number> {
  return field({
    type: "integer",
    minimum,
    maximum,
    format: maximum > 2 ** 31 ? "int64" : "int32",
    ...options,
    description,
  });
}

/** A number with a fraction. */
export function decimal(description: string, minimum: number, maximum: number, options: Options = {}): Field<number> {
  return field({ type: "number", minimum, maximum, ...options, description });
}

export function percent(description: string, options: Options = {}): Field<number> {
  return whole(description, 0, 100, options);
}

export function port(description: string, options: Options = {}): Field<number> {
  return whole(description, 1, 65535, options);
}

/** A port by its number or by its name. */
export function portReference(description: string): Field<number | string> {
  const { pattern, maxLength }: TextFormat = formats.portReference;
  // Bounds hold for numbers, pattern and length for text: no rule in CEL, which could not be bounded in cost.
  return field({
    "x-kubernetes-int-or-string": true,
    minimum: 1,
    maximum: 65535,
    maxLength: maxLength ?? 63,
    pattern,
    description,
    "x-heddle-format": "portReference",
  });
}

export function flag(description: string, options: Options = {}): Field<boolean> {
  return field({ type: "boolean", ...options, description });
}

/** Labels: keys and values as Kubernetes has them. */
export function labels(description: string, options: Options = {}): Field<Record<string, string>> {
  const { pattern, maxLength }: TextFormat = formats.labelValue;
  return field({
    type: "object",
    additionalProperties: { type: "string", maxLength: maxLength ?? 63, pattern, "x-heddle-format": "labelValue" },
    maxProperties: 64,
    ...options,
    description,
  });
}

/** A mapping from free keys to values of one kind. */
export function mapOf<Value extends TSchema>(
  value: Value,
  description: string,
  maxProperties: number,
  options: Options = {},
): Field<Record<string, Static<Value>>> {
  return field({ type: "object", additionalProperties: value, maxProperties, ...options, description });
}

/** A list; `maxItems` bounds what rules over it can cost. */
export function list<Item extends TSchema>(
  item: Item,
  description: string,
  maxItems: number,
  options: Options = {},
): Field<Static<Item>[]> {
  return field({ type: "array", items: item, maxItems, "x-kubernetes-list-type": "atomic", ...options, description });
}

/** A list whose items differ in `keys`. */
export function listByKey<Item extends TSchema>(
  item: Item,
  keys: readonly string[],
  description: string,
  maxItems: number,
  options: Options = {},
): Field<Static<Item>[]> {
  const map: Options = { "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys };
  return list(item, description, maxItems, { ...map, ...options });
}

/** An object; fields are required unless `optional` or with a default. */
export function record<Fields extends TProperties>(
  description: string,
  fields: Fields,
  options: Options = {},
): TObject<Fields> {
  return Type.Object(fields, { ...options, description });
}

/** The field may be absent. */
export const optional = Type.Optional;

/** Exactly one of these fields is set. */
export function exactlyOneOf(...fields: readonly string[]): CelRule {
  const count = fields.map((name) => `(has(self.${name}) ? 1 : 0)`).join(" + ");
  return { rule: `${count} == 1`, message: `exactly one of ${fields.join(", ")} must be set` };
}

/** The first duration is not longer than the second, where both are set. */
export function notLonger(shorter: string, longer: string): CelRule {
  const both = `has(self.${shorter}) && has(self.${longer})`;
  return {
    rule: `!(${both} && duration(self.${longer}) != duration('0s') && duration(self.${shorter}) > duration(self.${longer}))`,
    message: `${shorter} must not be longer than ${longer}`,
    fieldPath: `.${shorter}`,
  };
}

/** The structural schema that a TypeBox schema is. */
export function structural(schema: TSchema): StructuralSchema {
  return schema;
}
