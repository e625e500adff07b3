// Sees what changed in a folder of YAML since the last look, and keeps back files that are just being written.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

export interface FolderChange {
  /** Path -> text of files that are new or differ. */
  readonly changed: ReadonlyMap<string, string>;
  readonly removed: readonly string[];
  /** Something is still being written, or may come back: look again soon. */
  readonly isUnsettled: boolean;
}

interface Known {
  readonly stamp: string;
  readonly text: string;
  isMissing: boolean;
}

export interface ScanRules {
  /** A file younger than this may still be growing. */
  readonly settleMs: number;
  /** An emptied file is believed only when it is older than this: editors truncate before they write. */
  readonly emptyMs: number;
}

export class FolderScanner {
  readonly #folder: string;
  readonly #rules: ScanRules;
  readonly #wallMs: () => number;
  readonly #files = new Map<string, Known>();

  constructor(folder: string, wallMs: () => number, rules: ScanRules = { settleMs: 20, emptyMs: 500 }) {
    this.#folder = folder;
    this.#wallMs = wallMs;
    this.#rules = rules;
  }

  /** Rejects when the folder cannot be read, or when it is suddenly empty: both are no word on what it held. */
  async scan(): Promise<FolderChange> {
    const found = await listFiles(this.#folder);
    if (found.length === 0 && this.#files.size > 0)
      throw new Error(`Cannot believe folder ${this.#folder}: it had ${this.#files.size} files and now has none`);
    const changed = new Map<string, string>();
    const removed: string[] = [];
    let isUnsettled = false;
    for (const [file, known] of this.#files) {
      if (found.includes(file)) continue;
      // Gone twice in a row is gone: an editor that saves by deleting first is back by then.
      if (known.isMissing) {
        this.#files.delete(file);
        removed.push(file);
      } else {
        known.isMissing = true;
        isUnsettled = true;
      }
    }
    for (const file of found) {
      const text = await this.#read(file);
      if (text === "unsettled") isUnsettled = true;
      else if (text !== undefined) changed.set(file, text.text);
    }
    return { changed, removed, isUnsettled };
  }

  /** undefined: it is as it was. */
  async #read(file: string): Promise<{ readonly text: string } | "unsettled" | undefined> {
    try {
      const before = await stat(file, { bigint: true });
      const stamp = stampOf(before);
      const known = this.#files.get(file);
      if (known !== undefined) known.isMissing = false;
      if (known?.stamp === stamp) return undefined;
      const ageMs = this.#wallMs() - Number(before.mtimeMs);
      const youngMs = before.size === 0n && known !== undefined ? this.#rules.emptyMs : this.#rules.settleMs;
      if (ageMs >= 0 && ageMs < youngMs) return "unsettled";
      const text = await readFile(file, "utf8");
      if (stampOf(await stat(file, { bigint: true })) !== stamp) return "unsettled";
      this.#files.set(file, { stamp, text, isMissing: false });
      return known?.text === text ? undefined : { text };
    } catch {
      // It went away between listing and reading: the next look tells.
      return "unsettled";
    }
  }
}

function stampOf({ ino, size, mtimeNs }: { ino: bigint; size: bigint; mtimeNs: bigint }): string {
  return `${ino}:${size}:${mtimeNs}`;
}

/** The files that `loadFolder` reads, in its order. */
async function listFiles(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files: string[] = [];
  for (const entry of entries.toSorted((left, right) => (left.name < right.name ? -1 : 1))) {
    if (entry.name.startsWith(".")) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) files.push(...(await listFiles(path)));
    else if (/\.ya?ml$/.test(entry.name)) files.push(path);
  }
  return files;
}
