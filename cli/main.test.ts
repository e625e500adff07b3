import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { exitCodes } from "./command.ts";
import { commands, runCommandLine } from "./main.ts";
import { RecordingContext } from "./testing/context.ts";
import { VERSION } from "./version.ts";

const root = path.join(import.meta.dirname, "..");
const EXAMPLE = path.join(root, "config/load/testing/example");
const BROKEN = path.join(root, "cli/testing/broken.yaml");

async function run(...args: readonly string[]): Promise<{ code: number; output: string; errors: string }> {
  const context = new RecordingContext(root);
  const code = await runCommandLine(args, context);
  return { code, output: context.output, errors: context.errors };
}

describe("heddle", () => {
  it("has the version of the package", () => {
    const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as { version: string }; // ours
    assert.equal(VERSION, manifest.version);
  });

  it("lists its commands", async () => {
    const { code, output } = await run("--help");
    assert.equal(code, exitCodes.done);
    for (const { name, summary } of commands) assert.match(output, new RegExp(`  ${name} +${summary.slice(0, 20)}`));
  });

  it("takes no command for a wrong command line", async () => {
    const { code, errors } = await run();
    assert.equal(code, exitCodes.usage);
    assert.match(errors, /^heddle COMMAND/);
  });

  it("says of an unknown command what was meant", async () => {
    const { code, errors } = await run("anlyze", "x");
    assert.equal(code, exitCodes.usage);
    assert.match(errors, /Unknown command "anlyze" \(did you mean analyze\?\)/);
  });

  for (const entry of commands) {
    it(`${entry.name} has help with examples and exit codes, under the name in the list`, async () => {
      const { code, output } = await run(entry.name, "--help");
      assert.equal(code, exitCodes.done);
      assert.match(output, new RegExp(`^heddle ${entry.name} `));
      assert.match(output, new RegExp(`\nExamples:\n  heddle ${entry.name}`));
      assert.match(output, /\nExit codes:\n {2}0 /);
      const command = await entry.load();
      assert.equal(command.name, entry.name);
      assert.equal(command.summary, entry.summary);
      assert.equal((await run("help", entry.name)).output, output);
    });

    it(`${entry.name} refuses an option that it does not know`, async () => {
      const { code, errors } = await run(entry.name, "--no-such-option");
      assert.equal(code, exitCodes.usage);
      assert.match(errors, /Unknown option --no-such-option/);
    });
  }
});

describe("heddle analyze", () => {
  it("finds nothing wrong with the example of every kind", async () => {
    const { code, output } = await run("analyze", EXAMPLE);
    assert.equal(code, exitCodes.done);
    assert.match(output, /: \d+ resources, 0 errors, \d+ warnings?\n$/);
  });

  it("names file, line, column and what was meant, and ends with 1", async () => {
    const { code, output } = await run("analyze", BROKEN);
    assert.equal(code, exitCodes.failed);
    assert.match(output, /broken\.yaml:7:3: error: .*\(did you mean .*\) \[HDL_CONFIG_UNKNOWN_FIELD\]/);
    assert.match(output, /1 error,/);
  });

  it("says the same as JSON", async () => {
    const { code, output } = await run("analyze", "--format", "json", BROKEN);
    const body = JSON.parse(output) as { errors: number; problems: { line: number; code: string }[] }; // what it wrote
    assert.equal(code, exitCodes.failed);
    assert.equal(body.errors, 1);
    assert.equal(body.problems.find((problem) => problem.code === "HDL_CONFIG_UNKNOWN_FIELD")?.line, 7);
  });

  it("ends with 3 where there is no folder", async () => {
    assert.equal((await run("analyze", "no/such/folder")).code, exitCodes.unreachable);
  });
});

describe("heddle proxy --validate", () => {
  it("ends with 3 where there is no file", async () => {
    assert.equal((await run("proxy", "--validate", "-c", "no/such/file.yaml")).code, exitCodes.unreachable);
  });

  it("asks the filters, and names the line of what they do not take", async () => {
    const { code, errors } = await run("proxy", "--validate", "-c", "cli/testing/broken-filters.yaml");
    assert.equal(code, exitCodes.failed);
    const lines = errors.trim().split("\n");
    assert.match(
      lines[0] ?? "",
      /:19:34: .*\.services\[0\]: must be a service of the descriptor set \(.*bookstore\.v1\.Bookstore.*\): got "bookstore\.v1\.Bookstor" \[/,
    );
    assert.match(
      lines[1] ?? "",
      /:23:41: .*\.proto_descriptor: must be a descriptor set that can be read \(.+\): got "no\/such/,
    );
    assert.match(lines[2] ?? "", /:28:46: .*\.max_request_body_size: must be a number from 1 to 2147483647: got 0/);
    assert.match(
      lines[3] ?? "",
      /:32:57: .*\.capture_unknown_query_parameters: must be left out \(what can be set: services, /,
    );
    assert.match(lines[4] ?? "", /:37:49: .*\.value\.samplingPercent: must be /);
    assert.equal(lines.length, 6);
  });

  it("needs a file", async () => {
    const { code, errors } = await run("proxy", "--validate");
    assert.equal(code, exitCodes.usage);
    assert.match(errors, /-c FILE is needed/);
  });
});
