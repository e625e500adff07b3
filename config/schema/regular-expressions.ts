// Checks regular expressions of routes: RE2 syntax, which a schema cannot say.

import { RE2JS } from "re2js";
import type { JsonPath } from "#config/load/json-path.ts";
import { isObject } from "#config/load/values.ts";
import { describeError } from "#lib/errors.ts";
import type { Finding } from "./shape-checker.ts";
import type { StructuralSchema } from "./structural.ts";

/** Finds every object with `type: RegularExpression`, and tries the texts beside the type. */
export function checkRegularExpressions(schema: StructuralSchema, value: unknown, path: JsonPath): Finding[] {
  if (Array.isArray(value)) {
    const { items = {} } = schema;
    return value.flatMap((item, index) => checkRegularExpressions(items, item, [...path, index]));
  }
  const { properties } = schema;
  if (!isObject(value) || properties === undefined) return [];
  if (value["type"] === "RegularExpression")
    return ["value", "service", "method"].flatMap((field) => checkPattern(value[field], [...path, field]));
  return Object.entries(properties).flatMap(([field, property]) =>
    Object.hasOwn(value, field) ? checkRegularExpressions(property, value[field], [...path, field]) : [],
  );
}

function checkPattern(pattern: unknown, path: JsonPath): Finding[] {
  if (typeof pattern !== "string") return [];
  try {
    RE2JS.compile(pattern);
    return [];
  } catch (error) {
    const says = `must be a regular expression (RE2): got ${JSON.stringify(pattern)}: ${describeError(error)}`;
    return [{ code: "HDL_CONFIG_INVALID_VALUE", path, says, hint: "RE2 has no look-around and no back-references" }];
  }
}
