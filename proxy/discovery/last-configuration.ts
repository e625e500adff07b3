// The last configuration that was put to work, kept so that a proxy restarts without its control plane.
import path from "node:path";
import { describeError } from "#lib/errors.ts";
import type { Log } from "#lib/log.ts";
import { readStateFile, writeStateFile } from "../identity/state-file.ts";
import type { DeltaDialogue } from "./delta-dialogue.ts";

const KINDS = ["cluster", "endpoints", "listener", "route", "virtualHost", "secret"] as const;

function fileOf(stateDir: string): string {
  return path.join(stateDir, "configuration.json");
}

/** Writes what is held, as it came over xDS. @throws when the folder cannot be written. */
export function storeConfiguration(stateDir: string, dialogue: DeltaDialogue): void {
  const resources = KINDS.flatMap((kind) =>
    [...dialogue.stores[kind].held].map(([name, { version, bytes }]) => ({
      kind,
      name,
      version,
      bytes: Buffer.from(bytes).toString("base64"),
    })),
  );
  writeStateFile(fileOf(stateDir), { version: dialogue.config("stored").version, resources });
}

/** Puts what was stored into the dialogue: true when there was something. What cannot be used is left out, and said so. */
export function restoreConfiguration(stateDir: string, dialogue: DeltaDialogue, log: Log): boolean {
  const file = fileOf(stateDir);
  const read = readStateFile(file);
  if (read.kind === "absent") return false;
  const stored = read.kind === "read" ? tryParse(read.value) : undefined;
  if (stored === undefined) {
    log.warn("stored configuration ignored", { file, reason: read.kind === "damaged" ? read.reason : "it is not one" });
    return false;
  }
  let restored = 0;
  for (const { kind, name, version, bytes } of stored.resources) {
    try {
      dialogue.restore(kind, name, version, Buffer.from(bytes, "base64"));
      restored++;
    } catch (error) {
      log.warn("stored resource ignored", { kind, name, reason: describeError(error) });
    }
  }
  dialogue.settleRestored(stored.version);
  return restored > 0;
}

interface StoredResource {
  readonly kind: (typeof KINDS)[number];
  readonly name: string;
  readonly version: string;
  readonly bytes: string;
}

function tryParse(
  value: unknown,
): { readonly version: string; readonly resources: readonly StoredResource[] } | undefined {
  if (typeof value !== "object" || value === null || !("version" in value) || !("resources" in value)) return undefined;
  const { version, resources } = value;
  if (typeof version !== "string" || !Array.isArray(resources)) return undefined;
  return resources.every(isStoredResource) ? { version, resources } : undefined;
}

function isStoredResource(value: unknown): value is StoredResource {
  if (typeof value !== "object" || value === null) return false;
  const { kind, name, version, bytes } = value as Readonly<Record<string, unknown>>;
  const isKind = KINDS.some((known) => known === kind);
  return isKind && typeof name === "string" && typeof version === "string" && typeof bytes === "string";
}
