// Runs the packet filter's own tools: finds them, reads the nat table, changes it in one transaction.
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { HeddleError } from "#lib/errors.ts";
import type { Family } from "./cidr.ts";
import { parseSaved, type SavedTable } from "./table.ts";

/** Which of the kernel's two packet filters; both may hold rules at once, and then both apply. */
export const BACKENDS = ["nft", "legacy"] as const;
export type Backend = (typeof BACKENDS)[number];

/** A program with what stands before its arguments. */
interface Tool {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface Iptables {
  /** @throws {HeddleError} HDL_INTERCEPTION_FAILED, with what the tool said. */
  read(backend: Backend, family: Family): SavedTable;
  /** All of `input`, or nothing. @throws {HeddleError} HDL_INTERCEPTION_FAILED, with what the tool said. */
  restore(backend: Backend, family: Family, input: string): void;
  has(backend: Backend): boolean;
}

/** Where the tools are: folders, with (on a node) the loader and the libraries that came along. */
export interface ToolFolders {
  readonly folders: readonly string[];
  readonly loader?: { readonly file: string; readonly libraries: string; readonly extensions: string };
}

const SYSTEM_FOLDERS = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/** Folders of PATH, and those of system programs, which a small PATH leaves out. */
export function systemFolders(env: Readonly<Record<string, string | undefined>>): ToolFolders {
  const listed = (env["PATH"] ?? "").split(":").filter((folder) => path.isAbsolute(folder));
  return { folders: [...new Set([...listed, ...SYSTEM_FOLDERS])] };
}

const TIMEOUT_MS = 20_000;

export function makeIptables(where: ToolFolders): Iptables {
  const found = new Map(BACKENDS.map((backend) => [backend, tryTool(where, backend)]));
  const run = (backend: Backend, program: string, args: readonly string[], input: string): string => {
    const tool = found.get(backend);
    if (tool === undefined)
      throw new HeddleError("HDL_INTERCEPTION_FAILED", `Cannot run ${program}: there is no xtables-${backend}-multi`);
    const { status, signal, stdout, stderr, error } = spawnSync(tool.file, [...tool.args, program, ...args], {
      input,
      encoding: "utf8",
      timeout: TIMEOUT_MS,
      env: { ...process.env, ...tool.env },
    });
    if (status === 0) return stdout;
    const said = error?.message ?? stderr.trim().replaceAll("\n", "; ");
    const end = signal === null ? `exit code ${status ?? "none"}` : signal;
    throw new HeddleError(
      "HDL_INTERCEPTION_FAILED",
      `${program} (${backend}) failed: ${said || "no message"} (${end})`,
    );
  };
  const prefix = (family: Family): string => (family === "IPv4" ? "iptables" : "ip6tables");
  return {
    has: (backend) => found.get(backend) !== undefined,
    read: (backend, family) => parseSaved(run(backend, `${prefix(family)}-save`, ["-t", "nat"], "")),
    restore: (backend, family, input) => {
      // Another tool may hold legacy's lock for a moment; nft has none and takes the option.
      run(backend, `${prefix(family)}-restore`, ["--noflush", "--wait=5"], input);
    },
  };
}

/** One binary is all the tools of a backend: its first argument says which. */
function tryTool({ folders, loader }: ToolFolders, backend: Backend): Tool | undefined {
  const name = `xtables-${backend}-multi`;
  const file = folders.map((folder) => path.join(folder, name)).find((candidate) => existsSync(candidate));
  if (file === undefined) return undefined;
  const env = { ...lockFile(), ...(loader === undefined ? {} : { XTABLES_LIBDIR: loader.extensions }) };
  if (loader === undefined) return { file, args: [], env };
  return { file: loader.file, args: ["--library-path", loader.libraries, file], env };
}

/** Legacy's lock lies in /run, which a read-only root has not; every container of a pod has the same /dev/shm. */
function lockFile(): Record<string, string> {
  try {
    accessSync("/run", constants.W_OK);
    return {};
  } catch {
    return { XTABLES_LOCKFILE: "/dev/shm/heddle-xtables.lock" };
  }
}

/** Whether this network namespace has a nat table of legacy's: asking its tools would make one. */
export function hasLegacyTable(family: Family): boolean {
  const file = `/proc/self/net/${family === "IPv4" ? "ip" : "ip6"}_tables_names`;
  try {
    return readFileSync(file, "utf8").split("\n").includes("nat");
  } catch {
    return false;
  }
}
