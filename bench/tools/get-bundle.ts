// What is measured is what is shipped: the bundle, built anew when a source is younger.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..", "..");
const SOURCES = ["lib", "config", "filters", "proxy", "control-plane", "cli", "scripts/build.ts", "package-lock.json"];

let found: string | undefined;

/** Path of the main file, looked after once. `HEDDLE_MAIN` names another one, which is taken as it is. */
export function getBundle(): string {
  found ??= findBundle();
  return found;
}

function findBundle(): string {
  const named = process.env["HEDDLE_MAIN"];
  if (named !== undefined) return path.resolve(named);
  const main = path.join(ROOT, "dist", "heddle.mjs");
  const builtMs = fs.existsSync(main) ? fs.statSync(main).mtimeMs : 0;
  if (SOURCES.some((name) => youngest(path.join(ROOT, name)) > builtMs)) {
    console.log("building dist/heddle.mjs");
    execFileSync(process.execPath, [path.join(ROOT, "scripts", "build.ts")], {
      stdio: ["ignore", "ignore", "inherit"],
    });
  }
  return main;
}

function youngest(file: string): number {
  const stat = fs.statSync(file);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...fs.readdirSync(file).map((name) => youngest(path.join(file, name))));
}
