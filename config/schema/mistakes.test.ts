// Bad input, at every place of every kind: each mistake is refused, at its place, with the sentence that was reviewed.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { formatPath } from "#config/load/json-path.ts";
import { goldenOf, nameOf, placesWithout, tellAll, type Told } from "./testing/mistakes.ts";
import { formsThatFit } from "./testing/wrong-values.ts";

const root = path.join(import.meta.dirname, "../..");
const told = tellAll();

test("every place of every kind has a mistake that is tried", () => {
  assert.deepEqual(placesWithout(told), [], "say a value for it in `seeds` of config/schema/testing/leaves.ts");
});

test("every form of text has wrong ones", () => {
  assert.deepEqual(formsThatFit(), []);
});

test("every mistake is refused, and the first error names its path, and stands where it is written", () => {
  for (const mistake of told) {
    const [first] = mistake.errors;
    const where = formatPath(mistake.path);
    assert.ok(first !== undefined, `${nameOf(mistake)} is taken`);
    assert.ok(first.path.startsWith(where), `${nameOf(mistake)}: ${first.format()}`);
    if (first.path !== where || mistake.wrong === undefined) continue;
    const written = (mistake.text.split("\n")[first.line - 1] ?? "").slice(first.column - 1);
    assert.ok(written.replace(/^["']/, "").startsWith(startOf(mistake)), `${first.format()} stands at ${written}`);
  }
});

/** How the wrong value, or key, begins in YAML; of mappings and lists nothing is known. */
function startOf({ isKey, path: place, wrong }: Told): string {
  if (isKey) return String(place.at(-1));
  return typeof wrong === "string" ? wrong : typeof wrong === "object" ? "" : JSON.stringify(wrong);
}

test("what is told of each mistake is as reviewed: run npm run crds, and look at the difference", () => {
  const golden = goldenOf(told);
  for (const [file, text] of golden) assert.equal(readFileSync(path.join(root, file), "utf8"), text, file);
  const folder = "config/schema/testing/mistakes";
  const files = readdirSync(path.join(root, folder)).map((file) => `${folder}/${file}`);
  assert.deepEqual(files.toSorted(), [...golden.keys()].toSorted(), "a file of a field that is gone");
});
