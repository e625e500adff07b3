// Real programs for tests: the machine's own, else Debian's packages unpacked into an ignored folder (nothing is installed, no
// service is started). Fails, and says what is missing, where neither can be had.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const CACHE = path.join(import.meta.dirname, "..", ".cache");

export interface DebianWants {
  /** Of the folder in `.cache`. */
  readonly name: string;
  /** Debian 12: the programs, and the libraries that a small image does not have. */
  readonly packages: readonly string[];
  /** Folders of programs in the packages, as `usr/bin`. */
  readonly folders: readonly string[];
  /** A program that shows whether all is there; it is asked for `--version`, or for this. */
  readonly program: string;
  readonly versionFlag?: string;
}

export interface DebianPrograms {
  /** Where the packages were unpacked; undefined: the machine's own are used. */
  readonly root: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  file(program: string): string;
}

export function getDebianPrograms(wants: DebianWants): DebianPrograms {
  const { name, program, folders, versionFlag = "--version" } = wants;
  if (runs(program, versionFlag, process.env)) return { root: undefined, env: process.env, file: (file) => file };
  const root = path.join(CACHE, name);
  const libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((triplet) => path.join(root, "usr/lib", triplet));
  const unpacked = {
    root,
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(":") },
    file: (file: string) =>
      folders.map((folder) => path.join(root, folder, file)).find((candidate) => fs.existsSync(candidate)) ?? file,
  };
  if (!runs(unpacked.file(program), versionFlag, unpacked.env)) unpack(root, name, wants.packages);
  return unpacked;
}

/** Path of a file of Debian's packages: the machine's own, else unpacked. `file` is absolute, as the package has it. */
export function getDebianFile(name: string, packages: readonly string[], file: string): string {
  if (fs.existsSync(file)) return file;
  const root = path.join(CACHE, name);
  const unpacked = path.join(root, file);
  if (!fs.existsSync(unpacked)) unpack(root, name, packages);
  return unpacked;
}

function runs(file: string, versionFlag: string, env: NodeJS.ProcessEnv): boolean {
  try {
    execFileSync(file, [versionFlag], { env, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function unpack(root: string, name: string, packages: readonly string[]): void {
  fs.mkdirSync(root, { recursive: true });
  try {
    // Without lists there is nothing to download from; only root may fetch them, and others may have them already.
    if (process.getuid?.() === 0) execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    execFileSync("apt-get", ["download", ...packages], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
    for (const file of fs.readdirSync(root).filter((entry) => entry.endsWith(".deb")))
      execFileSync("dpkg", ["-x", file, root], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot get ${name}: install it, or run on Debian 12 with apt-get: ${said}`, { cause });
  }
}
