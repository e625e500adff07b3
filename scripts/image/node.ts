// The Node that images get: the pinned one.
import fs from "node:fs";
import path from "node:path";

const ROOT = path.join(import.meta.dirname, "..", "..");

/** @throws {Error} where neither npm's package is there nor the running Node is that version. */
export function getPinnedNode(): string {
  const name = `node-linux-${process.arch}`;
  const manifest = JSON.parse(fs.readFileSync(path.join(ROOT, "package.json"), "utf8")) as {
    readonly optionalDependencies: Readonly<Record<string, string>>;
  }; // as: our own file
  const version = manifest.optionalDependencies[name];
  const binary = path.join(ROOT, "node_modules", name, "bin", "node");
  if (fs.existsSync(binary)) return fs.realpathSync(binary);
  if (process.platform === "linux" && process.version === `v${String(version)}`) return process.execPath;
  throw new Error(`Cannot make an image: there is no Node ${String(version)} for Linux here; run npm ci`);
}
