// Every page of docs/policies has something to run: one without would say what nobody has seen.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { kinds } from "#config/schema/kinds.ts";
import { trafficBlocks } from "#config/schema/traffic/blocks.ts";
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

const yaml = pages.flatMap((file) =>
  sectionsOf(readFileSync(path.join(folder, file), "utf8")).flatMap(({ steps }) =>
    steps.flatMap((step) => (step.kind === "apply" ? step.yaml.split(/^---\n/m) : [])),
  ),
);

test("every kind has an example that is run", () => {
  const missing = kinds.map(({ kind }) => kind).filter((kind) => !yaml.some((text) => text.includes(`kind: ${kind}\n`)));
  assert.deepEqual(missing, []);
});

test("every block of TrafficPolicy has an example that is run", () => {
  const policies = yaml.filter((text) => text.includes("kind: TrafficPolicy\n"));
  const missing = Object.keys(trafficBlocks).filter((block) => !policies.some((text) => new RegExp(`\\b${block}:`).test(text)));
  assert.deepEqual(missing, []);
});
