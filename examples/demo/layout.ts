// Reads the shop's YAML: which instances there are, and at which ports their applications and sidecars listen.
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { entriesOf, fieldOf, listOf, textOf } from "./json.ts";

/** One instance of a service with its sidecar. */
export interface Workload {
  readonly namespace: string;
  /** The endpoint's name, for example `reviews-v1-1`. */
  readonly name: string;
  readonly service: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  /** The application's own port. */
  readonly appPort: number;
  readonly sidecar: Sidecar | undefined;
}

export interface Sidecar {
  readonly inboundPort: number;
  readonly adminPort: number;
  readonly metricsPort: number;
  /** Localhost port by the name of the service behind it. */
  readonly outbound: Readonly<Record<string, number>>;
}

/** Ports as the YAML writes them: a word of its own, 18000 to 18999. */
const PORT = /\b18\d{3}\b/gu;

/** Every port that the YAML in `folder` mentions. */
export async function portsOf(folder: string): Promise<readonly number[]> {
  const found = new Set<number>();
  for (const text of (await readYaml(folder)).values()) {
    for (const [port] of text.matchAll(PORT)) found.add(Number(port));
  }
  return [...found];
}

/** Copies the YAML of `from` to `to` with every port moved. */
export async function renderMesh(from: string, to: string, move: (port: number) => number): Promise<void> {
  await mkdir(to, { recursive: true });
  await cp(from, to, { recursive: true });
  for (const [name, text] of await readYaml(from)) {
    await writeFile(
      join(to, name),
      text.replaceAll(PORT, (port) => String(move(Number(port)))),
    );
  }
}

/** The instances that the ServiceEntries in `folder` name. */
export async function readWorkloads(folder: string): Promise<readonly Workload[]> {
  const workloads: Workload[] = [];
  for (const text of (await readYaml(folder)).values()) {
    for (const document of parseAllDocuments(text)) {
      const resource: unknown = document.toJS();
      if (fieldOf(resource, "kind") !== "ServiceEntry") continue;
      const metadata = fieldOf(resource, "metadata");
      const endpoints = listOf(fieldOf(resource, "spec"), "endpoints");
      for (const endpoint of endpoints) workloads.push(parseWorkload(metadata, endpoint));
    }
  }
  return workloads;
}

function parseWorkload(metadata: unknown, endpoint: unknown): Workload {
  const sidecar = fieldOf(endpoint, "sidecar");
  return {
    namespace: textOf(metadata, "namespace"),
    service: textOf(metadata, "name"),
    name: textOf(endpoint, "name"),
    labels: Object.fromEntries(entriesOf(fieldOf(endpoint, "labels")).map(([key, value]) => [key, String(value)])),
    serviceAccount: textOf(endpoint, "serviceAccount"),
    appPort: firstPort(fieldOf(endpoint, "ports")),
    sidecar: sidecar === undefined ? undefined : parseSidecar(sidecar),
  };
}

function parseSidecar(sidecar: unknown): Sidecar {
  const outbound: Record<string, number> = {};
  for (const listener of listOf(sidecar, "outbound")) {
    outbound[textOf(listener, "service")] = Number(fieldOf(listener, "listen"));
  }
  return {
    inboundPort: firstPort(fieldOf(sidecar, "inbound")),
    adminPort: Number(fieldOf(sidecar, "adminPort")),
    metricsPort: Number(fieldOf(sidecar, "metricsPort")),
    outbound,
  };
}

async function readYaml(folder: string): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for (const name of (await readdir(folder)).toSorted()) {
    if (name.endsWith(".yaml")) texts.set(name, await readFile(join(folder, name), "utf8"));
  }
  return texts;
}

function firstPort(ports: unknown): number {
  const [entry] = entriesOf(ports);
  return entry === undefined ? 0 : Number(entry[1]);
}
