// Files that only their owner may read, written so that a crash leaves the old or the new one, never half of it.
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import path from "node:path";

/** Makes the folder 0700 when it does not exist. */
export function ensurePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

/** Replaces `file` in one step: written beside it, synced, renamed. `mode` is 0600 unless it says otherwise. */
export function writePrivateFile(file: string, content: string, mode = 0o600): void {
  ensurePrivateFolder(path.dirname(file));
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    const handle = openSync(draft, "wx", mode);
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
