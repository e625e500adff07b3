// Every example of docs/policies: its YAML is applied to a running mesh, its commands are typed, and what they print is what
// the page shows. How pages are written: docs/policies/README.md.
// Time limit: 900 s.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { ExampleMesh, type State } from "./docs/example-mesh.ts";
import { sectionsOf, type Apply, type Command } from "./docs/page.ts";
import { isAsShown } from "./docs/shown.ts";
import type { Shell } from "../shell.ts";

const folder = path.join(import.meta.dirname, "../../docs/policies");
/** `PAGE=timeouts npm run e2e -- governance docs` runs one page. */
const only = process.env["PAGE"] ?? "";
const pages = readdirSync(folder).filter((file) => file.endsWith(".md") && file.startsWith(only));

const mesh = await ExampleMesh.start();

// One test around all: a file is ended when the tests that it has begun are done.
await test("docs/policies", async (docs) => {
  try {
    for (const page of pages) await docs.test(page, (t) => follow(t, readFileSync(path.join(folder, page), "utf8")));
  } finally {
    await mesh.stop();
  }
});

async function follow(t: TestContext, page: string): Promise<void> {
  for (const { title, steps } of sectionsOf(page))
    await t.test(title, async (section) => {
      const shell = await mesh.shell();
      try {
        await mesh.reset();
        await followSteps(section, shell, steps);
      } finally {
        shell.end();
      }
    });
}

async function followSteps(section: TestContext, shell: Shell, steps: readonly (Apply | Command)[]): Promise<void> {
  let isBroken = false;
  for (const step of steps) {
    const name = `line ${step.line}: ${step.kind === "apply" ? summaryOf(step.yaml) : step.command}`;
    await section.test(name, { skip: isBroken ? "a step before failed" : false }, async () => {
      isBroken = true;
      await (step.kind === "apply" ? apply(step) : enter(shell, step));
      isBroken = false;
    });
  }
}

async function apply(step: Apply): Promise<void> {
  const state = await mesh.apply(step.yaml);
  if (step.isRefused) {
    assert.notDeepEqual(state.errors, [], "the control plane took what the page says it refuses");
    return;
  }
  assert.deepEqual(state.errors, []);
  assert.deepEqual(troubleIn(state, step.reasons), []);
}

/** Conditions that are not as the page says. */
function troubleIn({ objects }: State, reasons: readonly string[]): readonly string[] {
  const found = [...objects].flatMap(([name, conditions]) =>
    conditions
      .filter(({ status }) => status !== "True")
      .map(({ type, reason, message }) => ({ reason, text: `${name}: ${type} ${reason}: ${message}` })),
  );
  return [
    ...found.filter(({ reason }) => !reasons.includes(reason)).map(({ text }) => text),
    ...reasons
      .filter((reason) => !found.some((one) => one.reason === reason))
      .map((reason) => `nothing says ${reason}`),
  ];
}

async function enter(shell: Shell, { command, output }: Command): Promise<void> {
  const { printed, code } = await mesh.run(shell, command);
  // A page shows what is printed, `heddle analyze` of a mistake for example, whatever the exit code.
  if (output === undefined) assert.equal(code, 0, printed);
  else if (!isAsShown(printed, output)) assert.equal(printed, output);
}

function summaryOf(yaml: string): string {
  return [...yaml.matchAll(/^kind: (.*)$/gm)].map(([, kind]) => kind).join(", ");
}
