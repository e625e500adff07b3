// Where documents come from, routes and policies and ServiceEntries: a folder, or the API server of Kubernetes.
import type { ConfigError } from "#config/load/config-error.ts";
import type { Resource } from "#config/schema/kinds.ts";
import type { Registry } from "./registry.ts";

/** Documents and the services among them come from one look, so that what belongs together takes effect at once. */
export interface ConfigSource extends Registry {
  /** The documents in force and what is wrong with the others. */
  readonly report: ConfigReport;
  /** It has told all that there is, at least once. */
  readonly isLoaded: boolean;
  /** Called after each change, when services and documents are both in place. */
  subscribe(listener: () => void): () => void;
}

/** What was found at the last change. */
export interface ConfigReport {
  /** Documents in force, each in its last good version. */
  readonly resources: readonly Resource[];
  readonly files: readonly FileReport[];
  /** Everything wrong, what was refused for it included. */
  readonly errors: readonly ConfigError[];
  readonly warnings: readonly ConfigError[];
  /** Edits refused since the start. */
  readonly refusedEdits: number;
}

interface FileReport {
  readonly file: string;
  readonly resources: number;
  /** Its newest text is not in force: an older one is, or nothing. */
  readonly isRefused: boolean;
}
