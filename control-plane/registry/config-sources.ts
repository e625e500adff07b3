// Several sources of documents as one: what an earlier source has, a later one cannot replace.
import { ConfigError } from "#config/load/config-error.ts";
import { formatPlace } from "#config/load/config-error.ts";
import { resourceName, type Resource } from "#config/schema/kinds.ts";
import type { ConfigReport, ConfigSource } from "./config-source.ts";

export class ConfigSources {
  readonly #sources: readonly ConfigSource[];
  #merged: { readonly of: readonly ConfigReport[]; readonly report: ConfigReport } | undefined;

  constructor(sources: readonly ConfigSource[]) {
    this.#sources = sources;
  }

  get isLoaded(): boolean {
    return this.#sources.every((source) => source.isLoaded);
  }

  /** Of all sources; the same object until one of them changes. */
  get report(): ConfigReport {
    const reports = this.#sources.map((source) => source.report);
    const [first] = reports;
    if (reports.length === 1 && first !== undefined) return first;
    if (this.#merged === undefined || this.#merged.of.some((report, index) => report !== reports[index]))
      this.#merged = { of: reports, report: mergeReports(reports) };
    return this.#merged.report;
  }

  subscribe(listener: () => void): () => void {
    const subscriptions = this.#sources.map((source) => source.subscribe(listener));
    return () => subscriptions.forEach((unsubscribe) => unsubscribe());
  }
}

/** One source cannot tell what another knows: that a reference leads nowhere is said by statuses then, which see everything. */
function mergeReports(reports: readonly ConfigReport[]): ConfigReport {
  const resources = new Map<string, Resource>();
  const duplicates: ConfigError[] = [];
  for (const resource of reports.flatMap((report) => report.resources)) {
    const name = resourceName(resource);
    const earlier = resources.get(name);
    if (earlier === undefined) resources.set(name, resource);
    else duplicates.push(duplicate(resource, earlier));
  }
  return {
    resources: [...resources.values()],
    files: reports.flatMap((report) => report.files),
    errors: [...reports.flatMap((report) => report.errors), ...duplicates],
    warnings: reports.flatMap((report) => report.warnings).filter(({ code }) => code !== "HDL_CONFIG_UNRESOLVED"),
    refusedEdits: reports.reduce((sum, report) => sum + report.refusedEdits, 0),
  };
}

function duplicate(resource: Resource, earlier: Resource): ConfigError {
  const { file, line, column } = resource.source;
  return new ConfigError({
    code: "HDL_CONFIG_DUPLICATE_RESOURCE",
    file,
    line,
    column,
    path: "metadata.name",
    message: `Cannot use ${resourceName(resource)}: it is defined already at ${formatPlace(earlier.source)}`,
    hint: "rename or remove one of the two",
  });
}
