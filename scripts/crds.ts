// `npm run crds` writes the CRDs, the reference page of the kinds and what is told of mistakes in them; with --check it only compares, and fails where they are stale.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generatedFiles } from "#config/schema/generated-files.ts";
import { goldenOf, tellAll } from "#config/schema/testing/mistakes.ts";

const root = join(import.meta.dirname, "..");
const isCheck = process.argv.includes("--check");
const stale: string[] = [];

for (const [path, text] of [...generatedFiles(), ...goldenOf(tellAll())]) {
  const file = join(root, path);
  if (tryRead(file) === text) continue;
  stale.push(path);
  if (isCheck) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

for (const path of stale) console.log(`${isCheck ? "stale" : "written"}: ${path}`);
if (isCheck && stale.length > 0) {
  console.error(`${stale.length} generated files are stale: run npm run crds`);
  process.exitCode = 1;
}

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
