// `npm run e2e -- NAME [FILE...]`: the tests of one subject that need more than npm. Each folder here is one; its files end in
// `.e2e.ts` and may lie in folders of it (`npm run e2e -- wire attacks/` runs those alone). With `--again` a file that failed
// runs once more, and says so: the second run counts. CI uses it, where some of the limits of time are other people's suites'.
import fs from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";

const names = fs
  .readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const { values, positionals } = parseArgs({ allowPositionals: true, options: { again: { type: "boolean" } } });
const [name, ...only] = positionals;
const isRepeated = values.again === true;
if (name === undefined || !names.includes(name)) {
  console.error(`Usage: npm run e2e -- NAME [FILE...], where NAME is one of: ${names.join(", ")}`);
  process.exit(2);
}
const folder = path.join(import.meta.dirname, name);
const files = fs
  .readdirSync(folder, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".e2e.ts") && (only.length === 0 || only.some((part) => file.startsWith(part))))
  .sort()
  .map((file) => path.join(folder, file));
if (files.length === 0) {
  console.error(`Cannot run ${only.join(", ")}: ${folder} has no such .e2e.ts file`);
  process.exit(2);
}

// A subject may want something around its tests: it then runs this program again, inside of it.
const around = path.join(folder, "around.ts");
if (fs.existsSync(around) && process.env["HEDDLE_INSIDE"] === undefined) {
  const { runAround } = (await import(around)) as { runAround: (command: readonly string[]) => Promise<number> }; // as: the contract
  process.exit(await runAround([process.execPath, import.meta.filename, ...process.argv.slice(2)]));
}

/** A file that needs longer says so in a line of its own: "// Time limit: 900 s." */
function limitOf(file: string): number {
  return Number(/^\/\/ Time limit: (\d+) s\.$/m.exec(fs.readFileSync(file, "utf8"))?.[1] ?? "240") * 1000;
}

interface Count {
  passed: number;
  failed: number;
}

/** A process for each file, one after the other: what one leaves behind must not slow or feed the next. */
async function runFile(file: string): Promise<Count> {
  const count: Count = { passed: 0, failed: 0 };
  const execArgv = ["--import", path.join(import.meta.dirname, "flushed.ts")];
  const timeout = limitOf(file);
  const events = run({ files: [file], concurrency: 1, isolation: "process", timeout, forceExit: true, execArgv });
  events.on("test:pass", ({ details }) => {
    if (details.type !== "suite") count.passed++;
  });
  events.on("test:fail", ({ details, todo }) => {
    // What is marked as still to come is shown and not counted.
    if (details.type !== "suite" && todo === undefined) count.failed++;
  });
  for await (const text of events.compose(spec)) process.stdout.write(String(text));
  return count;
}

const sum: Count = { passed: 0, failed: 0 };
for (const file of files) {
  const began = performance.now();
  // oxlint-disable-next-line no-await-in-loop -- one after the other
  let count = await runFile(file);
  if (count.failed > 0 && isRepeated) {
    console.log(`${path.relative(folder, file)}: ${count.failed} failed; it runs once more`);
    // oxlint-disable-next-line no-await-in-loop
    count = await runFile(file);
    if (count.failed === 0) console.log(`${path.relative(folder, file)}: all passed the second time`);
  }
  console.log(`${path.relative(folder, file)}: ${((performance.now() - began) / 1000).toFixed(0)} s`);
  sum.passed += count.passed;
  sum.failed += count.failed;
}
console.log(`${sum.passed} passed, ${sum.failed} failed`);
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;
