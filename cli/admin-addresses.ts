// Which proxies to ask: those named on the command line, those of a folder of YAML, those that a state folder has bootstraps for.
import path from "node:path";
import type { OptionSpec } from "./arguments.ts";
import { formatAddress } from "#config/model/address.ts";
import { parseAddress, UsageError } from "./arguments.ts";
import type { Context } from "./command.ts";
import { DEFAULT_STATE_FOLDER, writtenWorkloads } from "./state-folder.ts";

export const adminOptions = {
  admin: { type: "string", multiple: true, value: "ADDR", help: "admin address of a proxy, as 127.0.0.1:15000" },
  config: { type: "string", value: "FOLDER", help: "ask every sidecar that this folder of YAML names" },
  state: {
    type: "string",
    value: "DIR",
    help: `ask every sidecar that this folder of state has a bootstrap of (${DEFAULT_STATE_FOLDER} when nothing is given)`,
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;

export interface AdminSelection {
  readonly admin: readonly string[];
  readonly config: string | undefined;
  readonly state: string | undefined;
}

/** A proxy to ask; `id` is "" where only its address is known. */
export interface AdminTarget {
  readonly id: string;
  readonly address: string;
}

/** @throws {UsageError} when nothing was named and the default state folder has no bootstraps. */
export async function findAdmins(selection: AdminSelection, context: Context): Promise<readonly AdminTarget[]> {
  const found = new Map<string, AdminTarget>();
  for (const text of selection.admin) {
    const address = formatAddress(parseAddress(text, "--admin"));
    found.set(address, { id: "", address });
  }
  const isNamed = selection.admin.length > 0 || selection.config !== undefined;
  const state = selection.state ?? (isNamed ? undefined : DEFAULT_STATE_FOLDER);
  if (state !== undefined) {
    for (const { id, admin } of writtenWorkloads(path.resolve(context.folder, state))) {
      found.set(admin, { id, address: admin });
    }
  }
  if (selection.config !== undefined) {
    const known = new Set([...found.values()].map(({ id }) => id));
    for (const target of await adminsOfFolder(path.resolve(context.folder, selection.config), found.size > 0)) {
      // What a bootstrap says is where the proxy really listens.
      if (!known.has(target.id) && !found.has(target.address)) found.set(target.address, target);
    }
  }
  if (found.size === 0) {
    throw new UsageError(
      `There is no proxy to ask: give --admin ADDRESS:PORT, --config FOLDER, or --state DIR with bootstraps in it`,
    );
  }
  return [...found.values()];
}

/** A broken edit in the folder must not keep anybody from asking the proxies that are known already. */
async function adminsOfFolder(folder: string, isOptional: boolean): Promise<readonly AdminTarget[]> {
  const { MeshFolderError, readMeshFolder } = await import("./mesh-folder.ts");
  try {
    const { sidecars } = await readMeshFolder(folder);
    return sidecars.map(({ id, adminPort }) => ({ id, address: `127.0.0.1:${adminPort ?? 15_000}` }));
  } catch (error) {
    if (isOptional && error instanceof MeshFolderError) return [];
    throw error;
  }
}
