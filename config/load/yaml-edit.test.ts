import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigError } from "./config-error.ts";
import { isObject } from "./values.ts";
import { editYaml } from "./yaml-edit.ts";

const set = (key: string, value: unknown) => (document: unknown) =>
  isObject(document) && "a" in document ? { ...document, [key]: value } : document;

test("documents that do not change keep every byte, changed ones their comments", () => {
  const other = "# head\n---\nb:   [1,2]   # odd\n\n";
  const text = `${other}---\n# about a\na: 1   # one\nlist:\n- x  # first\n- 'y'\n# the end\n---\n\n`;
  const edited = editYaml(text, "f.yaml", set("new", { k: "v" }));
  assert.equal(
    edited,
    `${other}---\n# about a\na: 1 # one\nlist:\n- x # first\n- 'y'\nnew:\n  k: v\n\n# the end\n---\n\n`,
  );
  assert.equal(
    editYaml(text, "f.yaml", (value) => value),
    text,
  );
});

test("the way lists are indented stays, and flow collections stay flow", () => {
  const edit = set("list", ["x", "z"]);
  assert.equal(editYaml("a: 1\nlist:\n- x\n", "f", edit), "a: 1\nlist:\n- x\n- z\n");
  assert.equal(editYaml("a: 1\nlist:\n  - x\n", "f", edit), "a: 1\nlist:\n  - x\n  - z\n");
  assert.equal(editYaml("{a: 1, list: [x]}\n", "f", edit), "{a: 1, list: [x, z]}\n");
});

test("what an alias stands for is written out where one of its places changes", () => {
  const text = "a: &same { x: 1 }\nb: *same\n";
  const edited = editYaml(text, "f", (value) => ({ ...(value as object), b: { x: 2 } }));
  assert.match(edited, /b: ?\n? *\{? ?x: 2/);
  assert.match(edited, /x: 1/);
});

test("text that is no YAML is an error with its line in the whole file", () => {
  assert.throws(
    () => editYaml("a: 1\n---\nb: [\n", "f.yaml", (value) => value),
    (error) => error instanceof ConfigError && error.line >= 3 && error.format().startsWith("f.yaml:"),
  );
});
