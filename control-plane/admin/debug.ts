// What /debug/* tells: the proxies, the mesh, the last load of configuration, and how far a version has come.
import { formatPlace, type ConfigError } from "#config/load/config-error.ts";
import type { DiscoveryServer } from "../discovery/discovery-server.ts";
import type { MeshStore } from "../mesh/store.ts";
import type { ServiceCatalog } from "../registry/catalog.ts";
import type { ConfigSources } from "../registry/config-sources.ts";
import type { ProxySource } from "../translate/proxy-source.ts";
import { rejectionOf } from "./rejection.ts";
import { statusOf, type Condition, type ObjectStatus } from "../translate/status.ts";

export interface AdminParts {
  readonly catalog: ServiceCatalog;
  readonly config: ConfigSources;
  readonly store: MeshStore;
  readonly source: ProxySource;
  readonly discovery: DiscoveryServer;
  /** Of the injection webhook, by what came of a pod; undefined: this process serves none. */
  readonly admissions: Readonly<Record<string, number>> | undefined;
}

export interface DebugAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** undefined: there is no such page. */
export function answerDebug(url: URL, parts: AdminParts): DebugAnswer | undefined {
  switch (url.pathname) {
    case "/debug/proxies":
      return { status: 200, body: { version: parts.store.current?.version, proxies: parts.discovery.proxies() } };
    case "/debug/mesh":
      return { status: 200, body: describeMesh(parts) };
    case "/debug/config":
      return { status: 200, body: describeConfig(parts) };
    case "/debug/receipts": {
      const version = url.searchParams.get("version") ?? parts.store.current?.version ?? "";
      const receipt = parts.discovery.receipt(version);
      return { status: receipt.isKnown ? 200 : 404, body: receipt };
    }
    default:
      return undefined;
  }
}

function describeMesh({ store, catalog }: AdminParts): unknown {
  const snapshot = store.current;
  if (snapshot === undefined) return { version: undefined, registries: catalog.status() };
  const { services, workloads } = snapshot.tables;
  return {
    version: snapshot.version,
    registries: catalog.status(),
    services: [...services].map(([key, { ports, endpoints, origin }]) => ({ service: key, ports, endpoints, origin })),
    workloads: [...workloads.values()],
  };
}

function describeConfig({ store, config, discovery }: AdminParts): unknown {
  const { report } = config;
  const version = store.current?.version;
  return {
    version,
    files: report.files,
    refusedEdits: report.refusedEdits,
    errors: report.errors.map(describeProblem),
    warnings: report.warnings.map(describeProblem),
    objects:
      store.current === undefined
        ? []
        : statusOf(store.current).map((object) => withReceipt(object, discovery, version ?? "")),
  };
}

function describeProblem({ file, line, column, code, message, hint, path }: ConfigError): unknown {
  return { at: formatPlace({ file, line, column }), file, line, column, path, code, message, hint };
}

/** A document is programmed when every proxy that is connected has taken the version that holds it. */
function withReceipt(object: ObjectStatus, discovery: DiscoveryServer, version: string): ObjectStatus {
  if (object.conditions.some(({ status }) => status === "False")) return object;
  const { applied, total } = discovery.receipt(version);
  const rejection = rejectionOf(object, discovery.proxies());
  const message = rejection ?? `applied on ${applied} of ${total} proxies`;
  const programmed: Condition = {
    type: "Programmed",
    status: rejection !== undefined ? "False" : applied === total ? "True" : "Unknown",
    reason: rejection !== undefined ? "Refused" : applied === total ? "Programmed" : "Pending",
    message,
  };
  return { ...object, conditions: [...object.conditions, programmed] };
}
