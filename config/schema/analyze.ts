// Validates whole sets of documents: each against its kind, then all against one another.

import { sortProblems, type ConfigError } from "#config/load/config-error.ts";
import { loadFolder, type ResourceDocument } from "#config/load/load.ts";
import type { Resource } from "./kinds.ts";
import { ResourceParser } from "./parse-resource.ts";
import { checkReferences } from "./references.ts";

export interface Analysis {
  /** What can be used: documents without an error of their own. */
  readonly resources: readonly Resource[];
  readonly errors: readonly ConfigError[];
  /** Accepted, but without effect until something else exists. */
  readonly warnings: readonly ConfigError[];
}

/** Validates documents, with references among them. Pure; never throws. */
export function validateAll(documents: readonly ResourceDocument[], loadErrors: readonly ConfigError[] = []): Analysis {
  const parser = new ResourceParser();
  const problems: ConfigError[] = [...loadErrors];
  const resources: Resource[] = [];
  for (const document of documents) {
    const parsed = parser.parse(document);
    problems.push(...parsed.problems);
    if (parsed.resource !== undefined) resources.push(parsed.resource);
  }
  problems.push(...checkReferences(resources));
  const sorted = sortProblems(problems);
  return {
    resources,
    errors: sorted.filter(({ severity }) => severity === "error"),
    warnings: sorted.filter(({ severity }) => severity === "warning"),
  };
}

/** Loads and validates a file or a folder. Never rejects. */
export async function analyze(folder: string): Promise<Analysis> {
  const { documents, errors } = await loadFolder(folder);
  return validateAll(documents, errors);
}
