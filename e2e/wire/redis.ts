// Gets a real redis-server: the machine's own, else Debian's packages unpacked into an ignored folder (nothing is installed, no
// service is started). Fails, and says what is missing, where neither can be had.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const FOLDER = path.join(import.meta.dirname, "..", "..", ".cache", "redis");
/** Debian 12: the server, and the libraries that a small image does not have. */
const PACKAGES = [
  "redis-server",
  "redis-tools",
  "liblzf1",
  "libjemalloc2",
  "liblua5.1-0",
  "lua-cjson",
  "lua-bitop",
  "libatomic1",
  "libhiredis0.14",
];

export interface RedisProgram {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
}

export function getRedis(): RedisProgram {
  if (runs("redis-server", process.env)) return { file: "redis-server", env: process.env };
  const libraries = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((triplet) => path.join(FOLDER, "usr/lib", triplet));
  const unpacked = {
    file: path.join(FOLDER, "usr/bin/redis-server"),
    env: { ...process.env, LD_LIBRARY_PATH: libraries.join(":") },
  };
  if (!runs(unpacked.file, unpacked.env)) unpack();
  return unpacked;
}

function runs(file: string, env: NodeJS.ProcessEnv): boolean {
  try {
    execFileSync(file, ["--version"], { env, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function unpack(): void {
  fs.mkdirSync(FOLDER, { recursive: true });
  try {
    // Without lists there is nothing to download from; only root may fetch them, and others may have them already.
    if (process.getuid?.() === 0) execFileSync("apt-get", ["update", "-qq"], { stdio: "ignore" });
    execFileSync("apt-get", ["download", ...PACKAGES], { cwd: FOLDER, stdio: ["ignore", "ignore", "pipe"] });
    for (const name of fs.readdirSync(FOLDER).filter((file) => file.endsWith(".deb")))
      execFileSync("dpkg", ["-x", name, FOLDER], { cwd: FOLDER, stdio: ["ignore", "ignore", "pipe"] });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot get redis-server: install it, or run on Debian 12 with apt-get: ${said}`, { cause });
  }
}
