import assert from "node:assert/strict";
import { test } from "node:test";
import { sectionsOf } from "./page.ts";

const fence = "```";

test("a page's examples are found in their order, by sections", () => {
  const lines = ["# One", "text", `${fence}yaml`, "a: 1", fence, `${fence}console`, "$ b \\", "> c", "1", "$ d", fence];
  const more = ["## Two", "<!-- status: Conflicted -->", `${fence}yaml`, "e: 1", fence, `${fence}sh`, "f", fence, "## Three"];
  assert.deepEqual(sectionsOf([...lines, ...more].join("\n")), [
    {
      title: "One",
      steps: [
        { kind: "apply", line: 4, yaml: "a: 1\n", reasons: [], isRefused: false },
        { kind: "command", line: 7, command: "b \\\nc", output: "1\n" },
        { kind: "command", line: 10, command: "d", output: "" },
      ],
    },
    {
      title: "Two",
      steps: [
        { kind: "apply", line: 15, yaml: "e: 1\n", reasons: ["Conflicted"], isRefused: false },
        { kind: "command", line: 18, command: "f", output: undefined },
      ],
    },
  ]);
});

test("what is not run says why, what is refused says so, and other comments are a mistake", () => {
  const block = (comment: string): string => [comment, `${fence}yaml`, "a: 1", fence].join("\n");
  assert.deepEqual(sectionsOf(block("<!-- not run: a part of a document -->")), []);
  assert.equal(sectionsOf(block("<!-- refused -->"))[0]?.steps[0]?.kind, "apply");
  assert.throws(() => sectionsOf(block("<!-- skip -->")), /Line 1: a comment above YAML/);
  assert.throws(() => sectionsOf(`${fence}yaml\na: 1\n`), /never closed/);
  assert.throws(() => sectionsOf(`${fence}console\n1\n${fence}`), /begins with/);
});
