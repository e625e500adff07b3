import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registry } from "./any.ts";
import { supportedFields, supportedTypes } from "./supported.ts";

describe("the table of supported fields", () => {
  it("names only messages and fields that exist", () => {
    const unknown: string[] = [];
    for (const typeName of supportedTypes()) {
      const names = new Set(registry.getMessage(typeName)?.fields.map((field) => field.name));
      if (registry.getMessage(typeName) === undefined) unknown.push(typeName);
      for (const field of supportedFields(typeName)) {
        if (field !== "" && !names.has(field)) unknown.push(`${typeName}.${field}`);
      }
    }
    assert.deepEqual(unknown, []);
  });

  it("has every message that a supported field holds", () => {
    const missing = new Set<string>();
    const known = new Set(supportedTypes());
    for (const typeName of known) {
      for (const field of registry.getMessage(typeName)?.fields ?? []) {
        const inner = field.message?.typeName;
        if (inner === undefined || inner.startsWith("google.protobuf.") || !supportedFields(typeName).has(field.name))
          continue;
        if (!known.has(inner)) missing.add(inner);
      }
    }
    assert.deepEqual([...missing], []);
  });
});
