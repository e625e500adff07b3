// The programs that a bench needs beside the proxies, and what to do when one is missing.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const PACKAGES: Readonly<Record<string, string>> = {
  nginx: "nginx-light",
  haproxy: "haproxy",
  taskset: "util-linux",
};

/** Where each is; throws with the one command that installs all that are missing. */
export function requireTools(names: readonly string[]): void {
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length === 0) return;
  const packages = missing.map((name) => PACKAGES[name] ?? name).join(" ");
  throw new Error(`Cannot run the bench: ${missing.join(", ")} not found; on Debian: apt-get install ${packages}`);
}

/** The path of a program, or undefined. */
export function findTool(name: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  return folders.map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file));
}

/** First line of what a program says of its version; "" when it says none. */
export function versionOf(file: string, args: readonly string[]): string {
  try {
    return (
      execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
        .trim()
        .split("\n")[0] ?? ""
    );
  } catch {
    return "";
  }
}
