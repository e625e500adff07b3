// One process per listener address: with SO_REUSEPORT a second start would silently take half of the connections.
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { formatAddress, type SocketAddress } from "#config/model/address.ts";
import { HeddleError } from "#lib/errors.ts";

export interface AddressLock {
  release(): void;
}

/** Taken by the main thread before workers listen. Throws when a living process has it; a dead one's is taken over. */
export function lockAddress(stateFolder: string, address: SocketAddress): AddressLock {
  mkdirSync(stateFolder, { recursive: true, mode: 0o700 });
  const file = join(stateFolder, `listener-${formatAddress(address).replaceAll(/[^\w.]/g, "_")}.lock`);
  for (let attempt = 0; attempt < 3; attempt++) {
    if (tryCreate(file)) return { release: () => rmSync(file, { force: true }) };
    const owner = tryReadOwner(file);
    if (owner !== undefined && isAlive(owner)) {
      throw new HeddleError(
        "HDL_ADDRESS_LOCKED",
        `Cannot listen on ${formatAddress(address)}: process ${owner.pid} listens there already (${file})`,
      );
    }
    rmSync(file, { force: true });
  }
  throw new HeddleError("HDL_ADDRESS_LOCKED", `Cannot take the lock ${file}: others take it at the same time`);
}

interface Owner {
  readonly pid: number;
  /** When it started, in the kernel's ticks; "" where that is not known. A pid alone may be somebody else's by now. */
  readonly started: string;
}

function tryCreate(file: string): boolean {
  try {
    const descriptor = openSync(file, "wx", 0o600);
    writeSync(descriptor, `${process.pid} ${startOf(process.pid)}\n`);
    closeSync(descriptor);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function tryReadOwner(file: string): Owner | undefined {
  try {
    const [pid, started] = readFileSync(file, "utf8").trim().split(" ");
    return pid === undefined || !/^\d+$/.test(pid) ? undefined : { pid: Number(pid), started: started ?? "" };
  } catch {
    return undefined;
  }
}

function isAlive(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
  const started = startOf(owner.pid);
  return started === "" || owner.started === "" || started === owner.started;
}

/** Field 22 of /proc/PID/stat. */
function startOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}
