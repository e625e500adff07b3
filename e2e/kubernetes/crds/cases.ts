// Objects that must be refused: each is one that is right, with one thing changed, as the schema of its kind says what is wrong.
import { kinds } from "#config/schema/kinds.ts";
import type { StructuralSchema } from "#config/schema/structural.ts";

export type Json = Readonly<Record<string, unknown>>;

export interface InvalidCase {
  readonly name: string;
  readonly object: Json;
}

type Path = readonly (string | number)[];

/** A value in place of one, and why it is wrong; `undefined` takes the field away. */
type Change = readonly [why: string, value: unknown];

/** Every change of one field of `object` that the kind's schema forbids. */
export function invalidCases(object: Json): readonly InvalidCase[] {
  const kind = kinds.find((one) => one.kind === object["kind"]);
  if (kind === undefined) throw new Error(`No kind ${String(object["kind"])}`);
  const cases: InvalidCase[] = [];
  visit(kind.spec, object["spec"], ["spec"], (path, why, value) => {
    const name = `${kind.kind}: ${path.join(".")} ${why}`;
    cases.push({ name, object: changed(object, path, value) as Json }); // as: its root is the object
  });
  return cases;
}

type Emit = (path: Path, why: string, value: unknown) => void;

function visit(schema: StructuralSchema, value: unknown, path: Path, emit: Emit): void {
  for (const [why, wrong] of changesOf(schema, value)) emit(path, why, wrong);
  if (Array.isArray(value)) {
    const { items } = schema;
    const [first] = value as unknown[]; // as: its items are looked at
    if (items !== undefined && first !== undefined) visit(items, first, [...path, 0], emit);
  } else if (typeof value === "object" && value !== null) {
    const fields = value as Json;
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      if (fields[name] === undefined) continue;
      visit(property, fields[name], [...path, name], emit);
      if (schema.required?.includes(name) === true && property.default === undefined)
        emit([...path, name], "is missing", undefined);
    }
    if (schema.properties !== undefined) emit([...path, "unheardOf"], "is unknown", "x");
  }
}

function changesOf(schema: StructuralSchema, value: unknown): readonly Change[] {
  if (schema["x-kubernetes-int-or-string"] === true) return [["is a flag", true]];
  const { minimum, maximum, maxLength, minLength, maxItems, minItems, pattern } = schema;
  const changes: Change[] = [];
  switch (schema.type) {
    case "object":
      changes.push(["is a text", "x"], ["is a list", []]);
      break;
    case "array": {
      const items = Array.isArray(value) ? (value as unknown[]) : [];
      changes.push(["is a mapping", {}]);
      if (minItems !== undefined && minItems > 0) changes.push(["has too few", items.slice(0, minItems - 1)]);
      if (maxItems !== undefined && maxItems <= 64 && items.length > 0)
        changes.push(["has too many", Array.from({ length: maxItems + 1 }, () => items[0])]);
      if (["set", "map"].includes(schema["x-kubernetes-list-type"] ?? "") && items.length > 0)
        changes.push(["has one twice", [items[0], items[0]]]);
      break;
    }
    case "string":
      changes.push(["is a number", 7], ["is a mapping", {}]);
      if (schema.enum !== undefined) changes.push(["is another word", "unheardOf"]);
      else if (pattern !== undefined) changes.push(["does not match", mismatch(pattern)]);
      if (schema.enum === undefined && maxLength !== undefined && maxLength < 5000)
        changes.push(["is too long", "a".repeat(maxLength + 1)]);
      if (schema.enum === undefined && minLength !== undefined && minLength > 0) changes.push(["is empty", ""]);
      break;
    case "integer":
    case "number":
      changes.push(["is a text", "7"]);
      if (schema.type === "integer") changes.push(["is no whole number", 1.5]);
      if (minimum !== undefined) changes.push(["is too small", minimum - 1]);
      if (maximum !== undefined && maximum < 2 ** 31) changes.push(["is too large", maximum + 1]);
      break;
    case "boolean":
      changes.push(["is a text", "true"]);
      break;
    case undefined:
      break;
  }
  return changes;
}

function changed(value: unknown, [step, ...rest]: Path, wrong: unknown): unknown {
  if (step === undefined) return wrong;
  if (Array.isArray(value)) {
    const items = value as unknown[]; // as: they are looked at
    return items.map((item, i) => (i === step ? changed(item, rest, wrong) : item));
  }
  const fields = { ...(value as Json) }; // as: the path leads through it
  const next = changed(fields[step], rest, wrong);
  if (next === undefined) delete fields[step];
  else fields[step] = next;
  return fields;
}

/** A text that the pattern does not take. */
function mismatch(pattern: string): string {
  const test = new RegExp(pattern);
  const found = ["? no /", " "].find((text) => !test.test(text));
  if (found === undefined) throw new Error(`Cannot find a text that ${pattern} does not match`);
  return found;
}
