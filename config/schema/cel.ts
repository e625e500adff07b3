// Evaluates the rules of a schema (`x-kubernetes-validations`) over a value, as the API server of Kubernetes would.

import { celEnv, CelScalar, isCelError, parse, plan, type CelInput } from "@bufbuild/cel";
import { describeError } from "#lib/errors.ts";
import { kubernetesFunctions } from "./cel-functions.ts";
import type { CelRule, StructuralSchema } from "./structural.ts";

/** A rule ready to run: undefined where the value keeps it, else why it does not. */
export type CompiledRule = (self: CelInput) => string | undefined;

const environment = celEnv({ funcs: kubernetesFunctions, variables: { self: CelScalar.DYN } });

// Rules belong to schemas, which never change: a memory of what they compile to, 0.2 ms each, and nothing more.
const compiled = new WeakMap<CelRule, CompiledRule>();

/** Compiles a rule, once; throws where it is not CEL, which is a mistake of the schema and never of a user. */
export function compileRule(rule: CelRule): CompiledRule {
  let ready = compiled.get(rule);
  if (ready === undefined) compiled.set(rule, (ready = compile(rule)));
  return ready;
}

function compile(rule: CelRule): CompiledRule {
  const evaluate = plan(environment, parse(rule.rule));
  return (self) => {
    try {
      const result = evaluate({ self });
      if (result === true) return undefined;
      return isCelError(result) ? `${rule.message} (${result.message})` : rule.message;
    } catch (error) {
      return `${rule.message} (${describeError(error)})`;
    }
  };
}

// Words of CEL that a field name must not be; Kubernetes gives such a field as __name__.
const reservedWords = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);
const escapes: readonly (readonly [string, string])[] = [
  ["__", "__underscores__"],
  [".", "__dot__"],
  ["-", "__dash__"],
  ["/", "__slash__"],
];

/** The name of a field inside rules (k8s.io/apiserver/pkg/cel/escaping.go). */
export function celFieldName(field: string): string {
  if (reservedWords.has(field)) return `__${field}__`;
  return escapes.reduce((name, [from, to]) => name.replaceAll(from, to), field);
}

/** A checked value as CEL sees it: whole numbers are `int`, objects have escaped names, maps keep their keys. */
export function toCel(schema: StructuralSchema, value: unknown): CelInput {
  if (typeof value === "number") {
    const isInt = schema.type === "integer" || schema["x-kubernetes-int-or-string"] === true;
    return isInt ? BigInt(value) : value;
  }
  if (typeof value === "string" || typeof value === "boolean") return value;
  if (Array.isArray(value)) {
    const { items = {} } = schema;
    return value.map((item) => toCel(items, item));
  }
  if (typeof value !== "object" || value === null) return null;
  const entries = new Map<string, CelInput>();
  for (const [key, item] of Object.entries(value)) {
    const property = schema.properties?.[key];
    if (property !== undefined) entries.set(celFieldName(key), toCel(property, item));
    else entries.set(key, toCel(schema.additionalProperties ?? {}, item));
  }
  return entries;
}
