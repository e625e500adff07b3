// Checks a value against the schema of its kind, fills in defaults, and says in sentences everything that is wrong.

import type { ConfigErrorCode } from "#config/load/config-error.ts";
import type { JsonPath } from "#config/load/json-path.ts";
import { formatPath } from "#config/load/json-path.ts";
import { describeValue, isObject } from "#config/load/values.ts";
import { compileRule, toCel } from "./cel.ts";
import { formats, type TextFormat } from "./formats.ts";
import type { CelRule, StructuralSchema } from "./structural.ts";
import { suggest } from "./suggest.ts";

/** One thing that is wrong. `says` continues a sentence that begins with the path. */
export interface Finding {
  readonly code: ConfigErrorCode;
  readonly path: JsonPath;
  readonly says: string;
  readonly hint?: string | undefined;
  /** The key is at fault, not the value. */
  readonly at?: "key";
}

export interface Checked {
  /** The value with its defaults; only to be used where nothing was found. */
  readonly value: unknown;
  readonly findings: readonly Finding[];
}

/** Holds a schema and its compiled patterns. */
export class ShapeChecker {
  readonly #schema: StructuralSchema;
  readonly #patterns = new Map<string, RegExp>();

  constructor(schema: StructuralSchema) {
    this.#schema = schema;
  }

  /** `at` is the path of the value in its document, as ["spec"]. */
  check(value: unknown, at: JsonPath): Checked {
    const findings: Finding[] = [];
    return { value: this.#visit(this.#schema, value, at, findings), findings };
  }

  #visit(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): unknown {
    const before = findings.length;
    const result = this.#visitType(schema, value, path, findings);
    const rules = schema["x-kubernetes-validations"];
    // Rules may rely on the shape, so they run only over a value that has it.
    if (rules !== undefined && findings.length === before) this.#checkRules(rules, schema, result, path, findings);
    return result;
  }

  #visitType(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): unknown {
    if (schema["x-kubernetes-int-or-string"] === true) {
      this.#checkIntOrString(schema, value, path, findings);
      return value;
    }
    switch (schema.type) {
      case "object":
        return this.#visitObject(schema, value, path, findings);
      case "array":
        return this.#visitArray(schema, value, path, findings);
      case "string":
        this.#checkText(schema, value, path, findings);
        return value;
      case "integer":
      case "number":
        checkNumber(schema, value, path, findings);
        return value;
      case "boolean":
        if (typeof value !== "boolean")
          findings.push({
            code: "HDL_CONFIG_WRONG_TYPE",
            path,
            says: `must be true or false: got ${describeValue(value)}`,
            hint: booleanHint(value),
          });
        return value;
      case undefined:
      default:
        return value;
    }
  }

  #visitObject(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): unknown {
    if (!isObject(value)) {
      const hint = Array.isArray(value) ? 'leave out the "-" of a list' : undefined;
      findings.push({
        code: "HDL_CONFIG_WRONG_TYPE",
        path,
        says: `must be a mapping: got ${describeValue(value)}`,
        hint,
      });
      return value;
    }
    if (schema["x-kubernetes-preserve-unknown-fields"] === true) return value;
    const { properties, additionalProperties } = schema;
    const result: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, key];
      const property =
        properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
      if (property === undefined) {
        findings.push({
          code: "HDL_CONFIG_UNKNOWN_FIELD",
          path: at,
          says: "is not a known field",
          hint: fieldHint(key, properties ?? {}),
          at: "key",
        });
        // Null is "not given", as in Kubernetes; a default takes its place below.
      } else if (item !== null) Object.defineProperty(result, key, own(this.#visit(property, item, at, findings)));
      else if (additionalProperties !== undefined)
        findings.push({ code: "HDL_CONFIG_WRONG_TYPE", path: at, says: "must not be empty: got nothing" });
    }
    const required = new Set(schema.required);
    for (const [key, property] of Object.entries(properties ?? {})) {
      if (Object.hasOwn(result, key)) continue;
      const at = [...path, key];
      if (property.default !== undefined)
        result[key] = this.#visit(property, structuredClone(property.default), at, findings);
      else if (required.has(key) && (value[key] === undefined || value[key] === null))
        findings.push({
          code: "HDL_CONFIG_MISSING_FIELD",
          path: at,
          says: "is required, but missing",
          hint: firstSentence(property.description),
        });
    }
    const count = Object.keys(result).length;
    checkCount(count, schema.minProperties, schema.maxProperties, ["entry", "entries"], path, findings);
    return result;
  }

  #visitArray(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): unknown {
    if (!Array.isArray(value)) {
      const says = `must be a list: got ${describeValue(value)}`;
      findings.push({ code: "HDL_CONFIG_WRONG_TYPE", path, says, hint: 'begin each item with "- "' });
      return value;
    }
    const { items = {} } = schema;
    checkCount(value.length, schema.minItems, schema.maxItems, ["item", "items"], path, findings);
    // Beyond the limit nothing is looked at: an endless list would give an endless list of errors.
    const looked: unknown[] = value.slice(0, schema.maxItems);
    const result = looked.map((item, index) => this.#visit(items, item, [...path, index], findings));
    checkDistinct(schema, result, path, findings);
    return result;
  }

  #checkText(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): void {
    const name = schema["x-heddle-format"];
    const format: TextFormat | undefined = name === undefined ? undefined : formats[name];
    const hint = format?.hint?.(value);
    const noun = format?.noun ?? (schema.enum === undefined ? "text" : `one of ${schema.enum.join(", ")}`);
    if (typeof value !== "string") {
      const isScalar = typeof value === "number" || typeof value === "boolean";
      const quotes = isScalar && schema.enum === undefined ? `put it in quotes: "${String(value)}"` : undefined;
      findings.push({
        code: "HDL_CONFIG_WRONG_TYPE",
        path,
        says: `must be ${noun}: got ${describeValue(value)}`,
        hint: name === "duration" || name === "quantity" ? hint : quotes,
      });
      return;
    }
    if (schema.enum !== undefined) {
      if (schema.enum.includes(value)) return;
      const near = suggest(value, schema.enum.map(String));
      findings.push({
        code: "HDL_CONFIG_INVALID_VALUE",
        path,
        says: `must be ${noun}: got ${describeValue(value)}`,
        hint: near === undefined ? undefined : `did you mean "${near}"?`,
      });
      return;
    }
    const { minLength = 0, maxLength = Infinity, pattern } = schema;
    if (value.length < minLength && value === "")
      findings.push({ code: "HDL_CONFIG_OUT_OF_RANGE", path, says: `must be ${noun}: got ""`, hint });
    else if (value.length < minLength || value.length > maxLength)
      findings.push({
        code: "HDL_CONFIG_OUT_OF_RANGE",
        path,
        says: `must have ${range(minLength === 0 ? -Infinity : minLength, maxLength)} characters: got ${value.length}`,
      });
    else if (pattern !== undefined && !this.#pattern(pattern).test(value)) {
      const wanted = format === undefined ? `match ${pattern}` : `be ${noun}`;
      findings.push({
        code: "HDL_CONFIG_INVALID_VALUE",
        path,
        says: `must ${wanted}: got ${describeValue(value)}`,
        hint,
      });
    }
  }

  #checkIntOrString(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): void {
    const {
      minimum = -Infinity,
      maximum = Infinity,
      maxLength = Infinity,
      pattern = "",
      "x-heddle-format": format,
    } = schema;
    const noun = format === undefined ? "a whole number or text" : formats[format].noun;
    const says = `must be ${noun}: got ${describeValue(value)}`;
    if (isWhole(value)) {
      if (value < minimum || value > maximum) findings.push({ code: "HDL_CONFIG_OUT_OF_RANGE", path, says });
    } else if (typeof value !== "string") findings.push({ code: "HDL_CONFIG_WRONG_TYPE", path, says });
    else if (value.length > maxLength || !this.#pattern(pattern).test(value))
      findings.push({ code: "HDL_CONFIG_INVALID_VALUE", path, says });
  }

  #pattern(source: string): RegExp {
    let pattern = this.#patterns.get(source);
    if (pattern === undefined) this.#patterns.set(source, (pattern = new RegExp(source)));
    return pattern;
  }

  #checkRules(
    rules: readonly CelRule[],
    schema: StructuralSchema,
    value: unknown,
    path: JsonPath,
    findings: Finding[],
  ): void {
    const self = toCel(schema, value);
    for (const rule of rules) {
      const broken = compileRule(rule)(self);
      if (broken === undefined) continue;
      const place = rule.find?.(value);
      const below = place?.path ?? rule.fieldPath?.split(".").filter((step) => step !== "") ?? [];
      const says = `is not valid: ${broken}`;
      findings.push({ code: "HDL_CONFIG_RULE", path: [...path, ...below], says, hint: place?.hint });
    }
  }
}

function own(value: unknown): PropertyDescriptor {
  return { value, enumerable: true, configurable: true, writable: true };
}

function isWhole(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value);
}

function checkNumber(schema: StructuralSchema, value: unknown, path: JsonPath, findings: Finding[]): void {
  const noun = schema.type === "integer" ? "a whole number" : "a number";
  const fits = schema.type === "integer" ? isWhole(value) : typeof value === "number" && Number.isFinite(value);
  if (!fits || typeof value !== "number") {
    const hint =
      typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value))
        ? `leave out the quotes: ${value.trim()}`
        : undefined;
    findings.push({ code: "HDL_CONFIG_WRONG_TYPE", path, says: `must be ${noun}: got ${describeValue(value)}`, hint });
    return;
  }
  const { minimum = -Infinity, maximum = Infinity } = schema;
  if (value < minimum || value > maximum)
    findings.push({ code: "HDL_CONFIG_OUT_OF_RANGE", path, says: `must be ${range(minimum, maximum)}: got ${value}` });
  else if (schema.enum !== undefined && !schema.enum.includes(value))
    findings.push({
      code: "HDL_CONFIG_INVALID_VALUE",
      path,
      says: `must be one of ${schema.enum.join(", ")}: got ${value}`,
    });
}

function checkCount(
  count: number,
  least: number | undefined,
  most: number | undefined,
  [one, many]: readonly [string, string],
  path: JsonPath,
  findings: Finding[],
): void {
  if (least !== undefined && count < least)
    findings.push({
      code: "HDL_CONFIG_OUT_OF_RANGE",
      path,
      says: `must have at least ${least} ${least === 1 ? one : many}: got ${count}`,
    });
  else if (most !== undefined && count > most)
    findings.push({ code: "HDL_CONFIG_OUT_OF_RANGE", path, says: `must have at most ${most} ${many}: got ${count}` });
}

function checkDistinct(schema: StructuralSchema, items: readonly unknown[], path: JsonPath, findings: Finding[]): void {
  const listType = schema["x-kubernetes-list-type"];
  if (listType !== "set" && listType !== "map") return;
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const firstIndex = new Map<string, number>();
  for (const [index, item] of items.entries()) {
    const identity = listType === "set" ? item : isObject(item) ? keys.map((key) => item[key]) : undefined;
    if (identity === undefined) continue;
    const text = JSON.stringify(identity);
    const first = firstIndex.get(text);
    if (first === undefined) firstIndex.set(text, index);
    else {
      const [key] = keys;
      const at = keys.length === 1 && key !== undefined ? [...path, index, key] : [...path, index];
      const shown = Array.isArray(identity) && identity.length === 1 ? JSON.stringify(identity[0]) : text;
      findings.push({
        code: "HDL_CONFIG_DUPLICATE_ITEM",
        path: at,
        says: `repeats ${shown} of ${formatPath([...path, first])}`,
      });
    }
  }
}

function range(least: number, most: number): string {
  if (most === Infinity || most === Number.MAX_SAFE_INTEGER) return `at least ${least}`;
  return least === -Infinity ? `at most ${most}` : `between ${least} and ${most}`;
}

function fieldHint(key: string, properties: { readonly [field: string]: StructuralSchema }): string {
  const known = Object.keys(properties);
  const near = suggest(key, known);
  if (near !== undefined) return `did you mean \`${near}\`?`;
  return known.length === 0 ? "nothing may stand here" : `fields here: ${known.join(", ")}`;
}

function booleanHint(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  if (/^(true|yes|on)$/i.test(value)) return "write true, without quotes";
  return /^(false|no|off)$/i.test(value) ? "write false, without quotes" : undefined;
}

function firstSentence(description: string | undefined): string | undefined {
  return description?.split(/(?<!\.)\.(?:\s|$)/, 1)[0];
}
