import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { isAsShown, stepsOf } from "./install-page.ts";

test("a page's commands are found in their order, with what they print", () => {
  const page = ["# One", "```sh", "a \\", "  b", "```", "## Two", "<!-- not run: no -->", "```sh", "c", "```"];
  const steps = stepsOf([...page, "```console", "$ d", "1", "2", "$ e", "```", "```yaml", "f: 1", "```"].join("\n"));
  assert.deepEqual(steps, [
    { section: "One", line: 3, command: "a \\\n  b" },
    { section: "Two", line: 12, command: "d", output: "1\n2\n" },
    { section: "Two", line: 15, command: "e", output: "" },
  ]);
});

test("what is printed must be what is shown, but for dots and blanks", () => {
  assert.ok(isAsShown("caller-5f   2/2  Running\n", "caller-... 2/2 Running\n"));
  assert.ok(!isAsShown("caller-5f   1/2  Running\n", "caller-... 2/2 Running\n"));
  assert.ok(!isAsShown("a\nb\n", "a\n"));
  assert.ok(!isAsShown("axb", "a.b"));
});

test("docs/install.md has commands in every section that promises some", () => {
  const page = readFileSync(path.join(import.meta.dirname, "../../docs/install.md"), "utf8");
  const sections = new Set(stepsOf(page).map(({ section }) => section));
  for (const wanted of ["Install", "The first namespace", "Upgrade", "Uninstall"])
    assert.ok(sections.has(wanted), wanted);
});
