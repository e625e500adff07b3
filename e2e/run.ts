// `npm run e2e -- NAME [FILE...]`: the tests of one subject that need more than npm. Each folder here is one; its files end in
// `.e2e.ts` and may lie in folders of it (`npm run e2e -- wire attacks/` runs those alone).
import fs from "node:fs";
import path from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const names = fs
  .readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);
const [name, ...only] = process.argv.slice(2);
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

let passed = 0;
let failed = 0;

async function runAll(some: readonly string[], timeout: number): Promise<void> {
  // A process for each file, one after the other: what one leaves behind must not slow or feed the next.
  const execArgv = ["--import", path.join(import.meta.dirname, "flushed.ts")];
  const events = run({ files: some, concurrency: 1, isolation: "process", timeout, forceExit: true, execArgv });
  events.on("test:pass", ({ details }) => {
    if (details.type !== "suite") passed++;
  });
  events.on("test:fail", ({ details, todo }) => {
    // What is marked as still to come is shown and not counted.
    if (details.type !== "suite" && todo === undefined) failed++;
  });
  for await (const text of events.compose(spec)) process.stdout.write(String(text));
}

const limits = Map.groupBy(files, limitOf);
for (const [limit, some] of limits) await runAll(some, limit);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
