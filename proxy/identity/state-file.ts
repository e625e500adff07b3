// One file of the proxy's state: 0600, replaced in one step, with a format number and a checksum, so that damage is noticed.
import { createHash, randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import path from "node:path";
import { describeError } from "#lib/errors.ts";

/** Raised when what is written changes its meaning; files of another format are ignored. */
const FORMAT = 1;

export type StateRead =
  | { readonly kind: "read"; readonly value: unknown }
  | { readonly kind: "absent" }
  /** There is something, but not what we wrote: `reason` says what is wrong with it. */
  | { readonly kind: "damaged"; readonly reason: string };

/** Writes a JSON value. @throws when the folder cannot be written. */
export function writeStateFile(file: string, value: unknown): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const payload = JSON.stringify(value);
  const content = JSON.stringify({ format: FORMAT, sha256: checksum(payload), payload });
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    const handle = openSync(draft, "wx", 0o600);
    try {
      writeSync(handle, content);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

export function readStateFile(file: string): StateRead {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (error) {
    const isAbsent = error instanceof Error && "code" in error && error.code === "ENOENT";
    return isAbsent ? { kind: "absent" } : { kind: "damaged", reason: describeError(error) };
  }
  try {
    return { kind: "read", value: openEnvelope(JSON.parse(content)) };
  } catch (error) {
    return { kind: "damaged", reason: describeError(error) };
  }
}

function openEnvelope(envelope: unknown): unknown {
  if (typeof envelope !== "object" || envelope === null || !("format" in envelope)) throw new Error("it has no format");
  if (envelope.format !== FORMAT) throw new Error(`its format is ${String(envelope.format)}, not ${FORMAT}`);
  if (!("payload" in envelope) || typeof envelope.payload !== "string") throw new Error("it has no payload");
  if (!("sha256" in envelope) || envelope.sha256 !== checksum(envelope.payload)) {
    throw new Error("its checksum does not fit its content");
  }
  return JSON.parse(envelope.payload);
}

function checksum(payload: string): string {
  return createHash("sha256").update(payload).digest("hex");
}
