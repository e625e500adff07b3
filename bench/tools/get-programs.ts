// Builds the Go programs of the bench (load generators, applications) into the ignored cache, once for each state of their sources.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";

import { CACHE } from "./get-envoy.ts";

const SOURCES = path.join(import.meta.dirname, "..", "go");

let found: string | undefined;

/** Path of the one program that holds all, looked after once. Throws when there is no Go, or the modules cannot be had. */
export function getPrograms(): string {
  found ??= buildPrograms();
  return found;
}

function buildPrograms(): string {
  const hash = createHash("sha256");
  for (const name of fs.readdirSync(SOURCES, { recursive: true, encoding: "utf8" }).sort()) {
    const file = path.join(SOURCES, name);
    if (fs.statSync(file).isFile()) hash.update(`${name}\n`).update(fs.readFileSync(file));
  }
  const folder = path.join(CACHE, "bench");
  const binary = path.join(folder, `programs-${hash.digest("hex").slice(0, 12)}`);
  if (fs.existsSync(binary)) return binary;
  console.log("building the Go programs of the bench");
  fs.mkdirSync(folder, { recursive: true });
  const draft = `${binary}.${process.pid}`;
  const PATH = `${process.env["PATH"] ?? ""}:/usr/local/go/bin`;
  try {
    execFileSync("go", ["build", "-o", draft, "."], {
      cwd: SOURCES,
      env: { ...process.env, PATH },
      stdio: ["ignore", "ignore", "pipe"],
    });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot build bench/go: the bench needs Go (https://go.dev) and its module proxy: ${said}`, {
      cause,
    });
  }
  fs.renameSync(draft, binary);
  return binary;
}
