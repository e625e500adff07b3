// Keeps our plugin in a node's folder of CNI configurations, and takes it out: files are replaced as a whole, so that the runtime
// never reads half of one.
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describeError, HeddleError } from "#lib/errors.ts";
import { tryAddPlugin, tryRemovePlugin } from "./conflist.ts";

/** A configuration of one plugin, which ours has put a list in place of. */
const SAVED = ".heddle-saved";

/**
 * The runtime takes the first file by name; ours goes into that. True: something had to be written.
 * @throws {HeddleError} HDL_CNI_INSTALL: there is no configuration yet, or it cannot be read.
 */
export function ensurePlugin(folder: string, plugin: Readonly<Record<string, unknown>>): boolean {
  const name = configurations(folder)[0];
  if (name === undefined)
    throw new HeddleError(
      "HDL_CNI_INSTALL",
      `There is no CNI configuration in ${folder} yet: another plugin must be first`,
    );
  const file = path.join(folder, name);
  const text = explained(file, () => tryAddPlugin(readFileSync(file, "utf8"), plugin));
  if (text === undefined) return false;
  const list = name.endsWith(".conflist") ? file : `${file.replace(/\.(conf|json)$/, "")}.conflist`;
  writeWhole(list, text, statSync(file).mode & 0o777);
  // A list sorts behind the file that it stands for, which would win.
  if (list !== file) renameSync(file, file + SAVED);
  return true;
}

/** Out of every file; what a list stood for is put back. */
export function removePlugin(folder: string): void {
  for (const name of configurations(folder)) {
    const file = path.join(folder, name);
    const saved = [".conf", ".json"]
      .map((end) => file.replace(/\.conflist$/, end))
      .find((one) => existsSync(one + SAVED));
    const text = explained(file, () => tryRemovePlugin(readFileSync(file, "utf8")));
    if (text === undefined) continue;
    if (saved === undefined) {
      writeWhole(file, text, statSync(file).mode & 0o777);
    } else {
      renameSync(saved + SAVED, saved);
      rmSync(file);
    }
  }
}

/** What the runtime reads, in its order. */
function configurations(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => /^[^.].*\.(conf|conflist|json)$/.test(name))
    .toSorted();
}

/** Replaces a file, or makes it. */
export function writeWhole(file: string, text: string, mode: number): void {
  const draft = path.join(path.dirname(file), `.${path.basename(file)}.heddle-new`);
  writeFileSync(draft, text, { mode });
  chmodSync(draft, mode);
  renameSync(draft, file);
}

function explained<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new HeddleError("HDL_CNI_INSTALL", `Cannot use the CNI configuration ${file}: ${describeError(error)}`, {
      cause: error,
    });
  }
}
