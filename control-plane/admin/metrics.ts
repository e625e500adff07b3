// The control plane's metrics in Prometheus' text format.
import type { AdminParts } from "./debug.ts";

type Labels = Readonly<Record<string, string>>;

/** Names follow Prometheus' rules: base units, `_total` for counters. */
export function formatMetrics({ catalog, config, store, source, discovery, admissions }: AdminParts): string {
  const lines: string[] = [];
  const add = (
    name: string,
    type: "gauge" | "counter",
    help: string,
    samples: readonly (readonly [Labels, number])[],
  ): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples) lines.push(`${name}${formatLabels(labels)} ${value}`);
  };
  const registries = catalog.status();
  const { report } = config;
  const proxies = discovery.proxies();
  const connected = proxies.filter((proxy) => proxy.connected);
  const version = store.current?.version;
  add(
    "heddle_mesh_version",
    "gauge",
    "Sequence of the mesh configuration in force.",
    one(store.current?.sequence ?? 0),
  );
  add("heddle_mesh_workloads", "gauge", "Workloads with a sidecar.", one(store.current?.tables.workloads.size ?? 0));
  add(
    "heddle_registry_services",
    "gauge",
    "Services that a registry knows.",
    registries.map((registry) => [{ registry: registry.name }, registry.services]),
  );
  add(
    "heddle_registry_stale_seconds",
    "gauge",
    "Age of a registry's data since it cannot be reached; 0 while it can.",
    registries.map((registry) => [{ registry: registry.name }, registry.ageMs / 1000]),
  );
  add(
    "heddle_registry_suspect_endpoints",
    "gauge",
    "Endpoints kept though they vanished, because many did at once.",
    registries.map((registry) => [{ registry: registry.name }, registry.suspects]),
  );
  add(
    "heddle_config_errors",
    "gauge",
    "Errors in documents that keep a file's or an object's newest version out.",
    one(report.errors.length),
  );
  add("heddle_config_warnings", "gauge", "Warnings in documents.", one(report.warnings.length));
  add(
    "heddle_config_refused_edits_total",
    "counter",
    "Edits of files and objects that were refused.",
    one(report.refusedEdits),
  );
  add("heddle_translated_parts_total", "counter", "Resources translated.", one(source.translatedCount));
  add("heddle_proxies_connected", "gauge", "Proxies with an open stream.", one(connected.length));
  add(
    "heddle_proxies_current",
    "gauge",
    "Connected proxies that have taken the newest version.",
    one(version === undefined ? 0 : discovery.receipt(version).applied),
  );
  add(
    "heddle_proxies_rejections",
    "gauge",
    "Resources that proxies refuse.",
    one(proxies.reduce((sum, proxy) => sum + proxy.rejections.length, 0)),
  );
  if (admissions !== undefined)
    add(
      "heddle_injections_total",
      "counter",
      "Pods that the API server asked the injection webhook about.",
      Object.entries(admissions).map(([result, count]) => [{ result }, count]),
    );
  return `${lines.join("\n")}\n`;
}

function formatLabels(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return "";
  return `{${entries.map(([name, value]) => `${name}="${value.replaceAll(/["\\\n]/g, (sign) => (sign === "\n" ? "\\n" : `\\${sign}`))}"`).join(",")}}`;
}

function one(value: number): readonly (readonly [Labels, number])[] {
  return [[{}, value]];
}
