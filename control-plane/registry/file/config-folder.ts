// A folder of documents as it is in force: each file's last good version; a broken edit is refused as a whole file and told.
import { sortProblems, type ConfigError } from "#config/load/config-error.ts";
import { loadText } from "#config/load/load.ts";
import type { Resource } from "#config/schema/kinds.ts";
import { ResourceParser } from "#config/schema/parse-resource.ts";
import { checkReferences } from "#config/schema/references.ts";
import type { ConfigReport } from "../config-source.ts";
import type { FolderChange } from "./folder-scanner.ts";

interface FileState {
  resources: readonly Resource[];
  /** Of the newest text, when it was refused. */
  errors: readonly ConfigError[];
  warnings: readonly ConfigError[];
}

export class ConfigFolder {
  readonly #parser = new ResourceParser();
  readonly #files = new Map<string, FileState>();
  #refusedEdits = 0;
  #report: ConfigReport = { resources: [], files: [], errors: [], warnings: [], refusedEdits: 0 };

  get report(): ConfigReport {
    return this.#report;
  }

  /** Takes a change over; gives the errors of files that were refused by it. Never throws. */
  apply(change: FolderChange): readonly ConfigError[] {
    for (const file of change.removed) this.#files.delete(file);
    const before = new Map<string, FileState>();
    const refused: ConfigError[] = [];
    for (const [file, text] of change.changed) {
      const old: FileState = this.#files.get(file) ?? { resources: [], errors: [], warnings: [] };
      before.set(file, old);
      const next = this.#parse(file, text);
      if (next.errors.length > 0) refused.push(...this.#refuse(file, old, next.errors));
      else this.#files.set(file, next);
    }
    refused.push(...this.#refuseClashes(before));
    this.#report = this.#makeReport();
    return sortProblems(refused);
  }

  #parse(file: string, text: string): FileState {
    const loaded = loadText(text, file);
    const problems = [...loaded.errors];
    const resources: Resource[] = [];
    for (const document of loaded.documents) {
      const parsed = this.#parser.parse(document);
      problems.push(...parsed.problems);
      if (parsed.resource !== undefined) resources.push(parsed.resource);
    }
    return {
      resources,
      errors: problems.filter(({ severity }) => severity === "error"),
      warnings: problems.filter(({ severity }) => severity === "warning"),
    };
  }

  #refuse(file: string, old: FileState, errors: readonly ConfigError[]): readonly ConfigError[] {
    this.#refusedEdits++;
    this.#files.set(file, { ...old, errors });
    return errors;
  }

  /** An edit that clashes with another file (a name or port that is taken) goes back to what it was, until nothing clashes. */
  #refuseClashes(before: Map<string, FileState>): readonly ConfigError[] {
    const refused: ConfigError[] = [];
    for (;;) {
      const clashes = checkReferences(this.#inForce()).filter(({ severity }) => severity === "error");
      const file = clashes.map((clash) => clash.file).findLast((one) => before.has(one));
      const old = file === undefined ? undefined : before.get(file);
      if (file === undefined || old === undefined) return refused;
      before.delete(file);
      const own = clashes.filter((clash) => clash.file === file);
      refused.push(...this.#refuse(file, old, own));
    }
  }

  #inForce(): readonly Resource[] {
    return [...this.#files.keys()].sort().flatMap((file) => this.#files.get(file)?.resources ?? []);
  }

  #makeReport(): ConfigReport {
    const resources = this.#inForce();
    const references = checkReferences(resources);
    const states = [...this.#files].sort(([left], [right]) => (left < right ? -1 : 1));
    return {
      resources,
      files: states.map(([file, state]) => ({
        file,
        resources: state.resources.length,
        isRefused: state.errors.length > 0,
      })),
      errors: sortProblems([
        ...states.flatMap(([, state]) => state.errors),
        ...references.filter(({ severity }) => severity === "error"),
      ]),
      warnings: sortProblems([
        ...states.flatMap(([, state]) => state.warnings),
        ...references.filter(({ severity }) => severity === "warning"),
      ]),
      refusedEdits: this.#refusedEdits,
    };
  }
}
