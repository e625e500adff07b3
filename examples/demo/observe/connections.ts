// TCP connections as the kernel lists them: who is connected to which port. Linux only; elsewhere nothing is known.
import { readdir, readFile, readlink } from "node:fs/promises";

/** One established connection of a process, seen from its side. */
export interface Connection {
  readonly localPort: number;
  readonly remotePort: number;
}

const ESTABLISHED = "01";

/** The established TCP connections that process `pid` holds; undefined where there is no /proc. */
export async function connectionsOf(pid: number): Promise<readonly Connection[] | undefined> {
  let names: readonly string[];
  try {
    names = await readdir(`/proc/${pid}/fd`);
  } catch {
    return undefined;
  }
  const inodes = new Set<string>();
  for (const name of names) {
    // A descriptor may be closed while we read.
    const target = await readlink(`/proc/${pid}/fd/${name}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/u.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  const connections: Connection[] = [];
  for (const table of ["tcp", "tcp6"]) {
    const text = await readFile(`/proc/${pid}/net/${table}`, "utf8").catch(() => "");
    for (const line of text.split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/u);
      const [, local = "", remote = "", state] = fields;
      if (state !== ESTABLISHED || !inodes.has(fields[9] ?? "")) continue;
      connections.push({ localPort: portOf(local), remotePort: portOf(remote) });
    }
  }
  return connections;
}

/** `0100007F:4650` ends with the port in hexadecimal. */
function portOf(address: string): number {
  return Number.parseInt(address.slice(address.lastIndexOf(":") + 1), 16);
}
