// Test programs in Go, built once into `.cache/bin`: from the Go module proxy, or from a file here.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const BIN = path.join(import.meta.dirname, "..", ".cache", "bin");

/** Path of the program made of a Go file of ours that needs no module; built anew when the file has changed. */
export function buildGoFile(source: string): string {
  const binary = path.join(BIN, path.basename(source, ".go"));
  if (fs.existsSync(binary) && fs.statSync(binary).mtimeMs > fs.statSync(source).mtimeMs) return binary;
  fs.mkdirSync(BIN, { recursive: true });
  const PATH = `${process.env["PATH"] ?? ""}:/usr/local/go/bin`;
  const built = `${binary}.${process.pid}`;
  try {
    execFileSync("go", ["build", "-o", built, source], {
      env: { ...process.env, PATH },
      stdio: ["ignore", "ignore", "pipe"],
    });
    fs.renameSync(built, binary);
    return binary;
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot build ${source}: these tests need Go (https://go.dev): ${said}`, { cause });
  }
}

/** Path of the program `name`; builds `module` when it is not there. Throws when there is no Go. */
export function getGoTool(name: string, module: string): string {
  const binary = path.join(BIN, name);
  if (fs.existsSync(binary)) return binary;
  fs.mkdirSync(BIN, { recursive: true });
  const folder = fs.mkdtempSync(path.join(BIN, "build-"));
  const PATH = `${process.env["PATH"] ?? ""}:/usr/local/go/bin`;
  try {
    execFileSync("go", ["install", "-p", "2", module], {
      env: { ...process.env, PATH, GOBIN: folder },
      stdio: ["ignore", "ignore", "pipe"],
    });
    for (const built of fs.readdirSync(folder)) fs.renameSync(path.join(folder, built), binary);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot build ${name}: these tests need Go (https://go.dev) for "go install ${module}": ${said}`, {
      cause,
    });
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return binary;
}
