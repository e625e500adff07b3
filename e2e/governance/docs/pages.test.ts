// Every page of docs/policies has something to run: one without would say what nobody has seen.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { sectionsOf } from "./page.ts";

const folder = path.join(import.meta.dirname, "../../../docs/policies");
const pages = readdirSync(folder).filter((file) => file.endsWith(".md"));

for (const page of pages.filter((file) => file !== "README.md"))
  test(`docs/policies/${page} has YAML, and commands that show what it does`, () => {
    const sections = sectionsOf(readFileSync(path.join(folder, page), "utf8"));
    const kinds = sections.flatMap(({ steps }) => steps.map(({ kind }) => kind));
    assert.ok(kinds.includes("apply"), "there is no block of YAML");
    assert.ok(kinds.indexOf("command") > kinds.indexOf("apply"), "there is no command after the first block of YAML");
  });
