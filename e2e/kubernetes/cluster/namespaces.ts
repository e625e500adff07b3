// The namespaces of a cluster: made, held and ended together, and a way to run commands in them from outside and from inside.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";

/** What it takes to run something in the namespaces of a cluster. */
export interface Namespaces {
  /** Their first process, as its starter sees it. */
  readonly firstPid: number;
  /** Which network it is, as /proc shows it. */
  readonly network: string;
}

export interface HeldNamespaces extends Namespaces {
  /** Ends every process in them. */
  end(): Promise<void>;
}

const NODE_SCRIPT = path.join(import.meta.dirname, "node.sh");

/**
 * Makes them for the cluster in `folder`. They end with this process, however it ends. `folder/lock` is locked as long as
 * anything lives in them.
 * @throws {Error} where namespaces cannot be made (not root, or not Linux).
 */
export async function holdNamespaces(folder: string, env: NodeJS.ProcessEnv): Promise<HeldNamespaces> {
  const unshare = ["unshare", "-m", "-n", "-p", "-u", "-f", "--kill-child", "--mount-proc", "--propagation", "private"];
  const log = path.join(folder, "log", "node.log");
  const holder = spawn("flock", ["-n", path.join(folder, "lock"), ...unshare, "sh", NODE_SCRIPT, folder], {
    env,
    // A group of its own: Ctrl-C in a terminal is for whoever started the cluster.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  holder.stderr.pipe(fs.createWriteStream(log));
  const exited = once(holder, "exit");
  const said = await Promise.race([once(holder.stdout, "data"), exited]);
  if (String(said[0]) !== "up\n") {
    const reason = fs.readFileSync(log, "utf8").trim();
    throw new Error(`Cannot make the namespaces of a cluster (needs Linux, root and CAP_SYS_ADMIN): ${reason}`);
  }
  const [unshared] = childrenOf(holder.pid ?? 0);
  const [firstPid] = childrenOf(unshared ?? 0);
  if (firstPid === undefined) throw new Error("Cannot find the first process of the cluster's namespaces");
  unrefAll(holder);
  return {
    firstPid,
    network: fs.readlinkSync(`/proc/${firstPid}/ns/net`),
    async end() {
      holder.ref();
      holder.stdin.destroy();
      if (holder.exitCode === null) await exited;
    },
  };
}

/** The command line that runs `command` in the namespaces, in the same folder. */
export function commandIn({ firstPid, network }: Namespaces, command: readonly string[], folder: string): string[] {
  if (fs.readlinkSync("/proc/self/ns/net") === network) return [...command];
  // Another mount namespace begins at its root.
  const inFolder = ["sh", "-c", 'cd "$0" && exec "$@"', folder, ...command];
  return ["nsenter", "-t", String(firstPid), "-m", "-n", "-p", "-u", "--", ...inFolder];
}

/** A test that forgets its cluster must still be able to end; the cluster then ends with it. */
function unrefAll(child: ChildProcess): void {
  child.unref();
  for (const stream of child.stdio)
    if (stream !== null && stream !== undefined && "unref" in stream && typeof stream.unref === "function")
      stream.unref();
}

function childrenOf(pid: number): number[] {
  return fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        // The name of a program may hold spaces and brackets: what follows it is counted from its end.
        const stat = fs.readFileSync(`/proc/${name}/stat`, "latin1");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid;
      } catch {
        return false;
      }
    })
    .map(Number);
}
