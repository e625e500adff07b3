import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generatedFiles } from "./generated-files.ts";
import { kinds } from "./kinds.ts";
import type { StructuralSchema } from "./structural.ts";

const root = join(import.meta.dirname, "../..");

test("the CRDs and the reference page are current: run npm run crds", () => {
  for (const [path, text] of generatedFiles()) assert.equal(readFileSync(join(root, path), "utf8"), text, path);
});

test("every kind of our own has a CRD, those of Gateway API have none", () => {
  const names = [...generatedFiles().keys()].filter((path) => path.startsWith("config/crds/"));
  assert.equal(names.length, kinds.filter(({ group }) => group === "heddle.dev").length);
});

test("every field has a description that is a sentence", () => {
  const visit = (schema: StructuralSchema, path: string): void => {
    for (const [field, property] of Object.entries(schema.properties ?? {})) {
      assert.match(property.description ?? "", /[.`"]$|\.\)$/, `${path}.${field}`);
      visit(property, `${path}.${field}`);
    }
    if (schema.items !== undefined) visit(schema.items, `${path}[]`);
  };
  for (const kind of kinds) visit(kind.spec, kind.kind);
});

test("every list and map has a greatest size, so that rules over them have a bounded cost", () => {
  const visit = (schema: StructuralSchema, path: string): void => {
    if (schema.type === "array") assert.ok(schema.maxItems !== undefined, path);
    if (schema.additionalProperties !== undefined) assert.ok(schema.maxProperties !== undefined, path);
    for (const [field, property] of Object.entries(schema.properties ?? {})) visit(property, `${path}.${field}`);
    if (schema.items !== undefined) visit(schema.items, `${path}[]`);
  };
  for (const kind of kinds) visit(kind.spec, kind.kind);
});
