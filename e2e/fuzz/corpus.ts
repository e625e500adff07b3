// Inputs on disk: one line of hexadecimal digits each, `#` begins a remark. What is worth keeping lies beside this file, what a run
// found in `.cache/fuzz`.
import fs from "node:fs";
import path from "node:path";

const COMMITTED = path.join(import.meta.dirname, "corpus");
const FOUND = path.join(import.meta.dirname, "..", "..", ".cache", "fuzz");

export interface Kept {
  readonly input: Buffer;
  readonly remark: string;
}

/** What `npm test` replays. */
export function readCommitted(target: string): readonly Kept[] {
  return readFile(path.join(COMMITTED, `${target}.txt`));
}

export function readFound(target: string): readonly Kept[] {
  return readFile(path.join(FOUND, `${target}.txt`));
}

export function writeFound(target: string, inputs: readonly Buffer[]): void {
  fs.mkdirSync(FOUND, { recursive: true });
  fs.writeFileSync(path.join(FOUND, `${target}.txt`), inputs.map((input) => `${input.toString("hex")}\n`).join(""));
}

export function writeCommitted(target: string, kept: readonly Kept[]): void {
  const lines = kept.map(({ input, remark }) => `${input.toString("hex")}${remark === "" ? "" : ` # ${remark}`}\n`);
  fs.writeFileSync(path.join(COMMITTED, `${target}.txt`), lines.join(""));
}

/** Gives the file's name. */
export function writeFailure(target: string, input: Buffer): string {
  const folder = path.join(FOUND, "failures");
  fs.mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${target}-${Date.now()}.hex`);
  fs.writeFileSync(file, `${input.toString("hex")}\n`);
  return path.relative(process.cwd(), file);
}

function readFile(file: string): readonly Kept[] {
  if (!fs.existsSync(file)) return [];
  const kept: Kept[] = [];
  for (const line of fs.readFileSync(file, "utf8").split("\n")) {
    const [hex = "", ...remark] = line.split("#");
    const input = Buffer.from(hex.trim(), "hex");
    if (hex.trim() !== "" || remark.length > 0) kept.push({ input, remark: remark.join("#").trim() });
  }
  return kept;
}
