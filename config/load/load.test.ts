import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import type { ConfigError } from "./config-error.ts";
import { loadFolder, loadText, type ResourceDocument } from "./load.ts";
import { yamlLimits } from "./yaml-limits.ts";

function only(text: string): ResourceDocument {
  const { documents, errors } = loadText(text, "a.yaml");
  assert.deepEqual(
    errors.map((error) => error.format()),
    [],
  );
  const [document, ...more] = documents;
  assert.ok(document !== undefined && more.length === 0);
  return document;
}

function errorsOf(text: string): readonly ConfigError[] {
  return loadText(text, "a.yaml").errors;
}

const head = "apiVersion: v1\nkind: Thing\nmetadata: {name: x}\n";

test("a value is found by its path, with line and column counted from 1", () => {
  const { source } = only(`${head}spec:\n  rules:\n  - a: 1\n  - timeouts:\n      request: 5 sec\n`);
  assert.deepEqual(source.locate("spec.rules[1].timeouts.request"), { line: 8, column: 16 });
  assert.deepEqual(source.locate(["spec", "rules", 1, "timeouts", "request"], "key"), { line: 8, column: 7 });
  assert.deepEqual(source.locate("spec.rules[0]"), { line: 6, column: 5 });
});

test("a path that leads nowhere is answered with its nearest parent", () => {
  const { source } = only(`${head}spec:\n  rules:\n  - a: 1\n`);
  assert.deepEqual(source.locate("spec.rules[0].backendRefs[3].name"), { line: 6, column: 5 });
  assert.deepEqual(source.locate("nothing.at.all"), { line: 1, column: 1 });
});

test("a second document and an item of a List have their own positions", () => {
  const text = `${head}---\napiVersion: v1\nkind: List\nitems:\n- ${head.replaceAll("\n", "\n  ")}spec:\n    a: 1\n`;
  const { documents, errors } = loadText(text, "a.yaml");
  assert.deepEqual(errors, []);
  assert.equal(documents.length, 2);
  assert.deepEqual(documents[1]?.source.locate("spec.a"), { line: 12, column: 8 });
  assert.equal(documents[1]?.source.line, 8);
});

test("anchors, aliases and merge keys are expanded, and located where they are written", () => {
  const { spec, source } = only(
    `${head}spec:\n  base: &base {a: 1, b: 2}\n  more:\n    <<: *base\n    b: 3\n  same: *base\n`,
  );
  assert.deepEqual(spec, { base: { a: 1, b: 2 }, more: { b: 3, a: 1 }, same: { a: 1, b: 2 } });
  assert.deepEqual(source.locate("spec.more.a"), { line: 5, column: 19 });
});

test("keys that are numbers are text, as in Kubernetes", () => {
  assert.deepEqual(only(`${head}spec: {8080: a, true: b}\n`).spec, { "8080": "a", true: "b" });
});

test("a key called __proto__ is data and changes no prototype", () => {
  const { spec } = only(`${head}spec: {__proto__: {polluted: true}}\n`);
  assert.equal(Object.getPrototypeOf(spec), Object.prototype);
  assert.ok(Object.hasOwn(spec as object, "__proto__"));
});

test("a bomb of aliases is refused at once", () => {
  const levels = Array.from(
    { length: 30 },
    (_, level) => `  a${level + 1}: &a${level + 1} [*a${level}, *a${level}, *a${level}]`,
  );
  const [error] = errorsOf(`${head}spec:\n  a0: &a0 lol\n${levels.join("\n")}\n`);
  assert.equal(error?.code, "HDL_CONFIG_TOO_LARGE");
});

test("an alias inside its own anchor is refused", () => {
  const [error] = errorsOf(`${head}spec: &a\n  b: *a\n`);
  assert.equal(error?.code, "HDL_CONFIG_TOO_LARGE");
});

test("merge keys that multiply cost no more than they are long", () => {
  const levels = Array.from(
    { length: 60 },
    (_, level) => `  m${level + 1}: &m${level + 1} {<<: [*m${level}, *m${level}]}`,
  );
  const { spec } = only(`${head}spec:\n  m0: &m0 {a: 1}\n${levels.join("\n")}\n`);
  assert.deepEqual((spec as Record<string, unknown>)["m60"], { a: 1 });
});

test("a mapping that merges itself is read once", () => {
  assert.deepEqual(only(`${head}spec: &a {<<: *a, b: 1}\n`).spec, { b: 1 });
});

test("text nested without end is refused, not a crash", () => {
  for (const text of ["[".repeat(20_000), `${head}spec: ${"[".repeat(500)}${"]".repeat(500)}`]) {
    const [error] = errorsOf(text);
    assert.ok(error !== undefined);
  }
});

test("a file beyond the limit is refused unread", () => {
  const [error] = errorsOf(`# ${"x".repeat(yamlLimits.textBytes)}`);
  assert.equal(error?.code, "HDL_CONFIG_TOO_LARGE");
});

test("every error of a file is given, and its good documents too", () => {
  const { documents, errors } = loadText(`a: b: c\n---\n${head}---\nkind: 5\n---\n${head}`, "a.yaml");
  assert.equal(documents.length, 2);
  assert.ok(errors.some(({ code, line }) => code === "HDL_CONFIG_SYNTAX" && line === 1));
  assert.ok(errors.some(({ code, path }) => code === "HDL_CONFIG_NOT_A_RESOURCE" && path === "kind"));
});

test("empty text and empty documents are no error", () => {
  for (const text of ["", "---\n", "# only a comment\n", `---\n---\n${head}---\n`])
    assert.deepEqual(errorsOf(text), [], text);
});

test("no text crashes the loader", () => {
  const fragments = fc.constantFrom(
    "apiVersion: v1\n",
    "kind: A\n",
    "metadata: ",
    "{name: x}\n",
    "- ",
    "  ",
    "&a ",
    "*a ",
    "<<: ",
    "? ",
    ": ",
    "!x ",
    "|\n",
    "'",
    '"',
    "---\n",
    "[",
    "]",
    "{",
    "}",
    "\t",
    "\0",
    "items:\n",
  );
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString()),
    fc.array(fragments, { maxLength: 30 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (input) => {
      for (const { line, column, message } of loadText(input, "a.yaml").errors)
        assert.ok(line >= 1 && column >= 1 && message !== "");
    }),
    { numRuns: 150 },
  );
});

test("a folder is read in the order of names, hidden files and other endings left out", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "heddle-load-"));
  t.after(() => rm(folder, { recursive: true }));
  const write = (name: string, object: string) => writeFile(join(folder, name), head.replace("x}", `${object}}`));
  await mkdir(join(folder, "b"));
  await Promise.all([
    write("c.yaml", "c"),
    write("a.yml", "a"),
    write("b/inner.yaml", "b"),
    write(".hidden.yaml", "no"),
    write("notes.txt", "no"),
  ]);
  // As a ConfigMap is mounted: the file is a link into a hidden folder.
  await mkdir(join(folder, "..data"));
  await write("..data/d.yaml", "d");
  await symlink(join("..data", "d.yaml"), join(folder, "d.yaml"));
  await symlink(folder, join(folder, "loop"));
  const { documents, errors } = await loadFolder(folder);
  assert.deepEqual(errors, []);
  assert.deepEqual(
    documents.map(({ metadata }) => metadata.name),
    ["a", "b", "c", "d"],
  );
});

test("a folder that is not there is one error, with its name", async () => {
  const { errors } = await loadFolder("/nonexistent/heddle");
  assert.deepEqual(
    errors.map(({ code, file }) => [code, file]),
    [["HDL_CONFIG_UNREADABLE", "/nonexistent/heddle"]],
  );
});
