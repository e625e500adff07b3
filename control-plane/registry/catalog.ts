// All services that the registries know, with how fresh each registry's word is. Nothing here empties because a source is gone.
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "#lib/clock.ts";
import type { Log } from "#lib/log.ts";
import {
  serviceKey,
  type Registry,
  type RegistryService,
  type RegistrySink,
  type RegistryWatch,
  type RegistryWorkload,
} from "./registry.ts";
import { SuspectKeeper } from "./suspects.ts";

/** What changed: an `endpoints` change is told on without delay, a `services` change may be coalesced. */
export type CatalogChange = "endpoints" | "services";

/** The freshness of one registry, for metrics, /debug/mesh and `heddle status`. */
export interface RegistryStatus {
  readonly name: string;
  /** starting: it has not told anything yet; stale: it cannot be reached, its last word holds. */
  readonly state: "starting" | "live" | "stale";
  /** Ms since it was last known to be true; 0 while live. */
  readonly ageMs: number;
  readonly error: string | undefined;
  readonly services: number;
  readonly suspects: number;
}

interface Source {
  readonly registry: Registry;
  readonly services: Map<string, RegistryService>;
  readonly workloads: Map<string, RegistryWorkload>;
  readonly suspects: SuspectKeeper;
  watch: RegistryWatch | undefined;
  state: RegistryStatus["state"];
  failedAtMs: number;
  error: string | undefined;
}

export class ServiceCatalog {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sources: Source[] = [];
  readonly #listeners = new Set<(change: CatalogChange) => void>();
  #merged: ReadonlyMap<string, RegistryService> | undefined;
  #workloads: ReadonlyMap<string, RegistryWorkload> | undefined;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Watches one more registry until `close`. */
  add(registry: Registry): void {
    const source: Source = {
      registry,
      services: new Map(),
      workloads: new Map(),
      suspects: new SuspectKeeper(this.#clock, (key, service) => {
        this.#log.info("suspect endpoints are given up", { registry: registry.name, service: key });
        this.#tell(store(source, key, service));
      }),
      watch: undefined,
      state: "starting",
      failedAtMs: 0,
      error: undefined,
    };
    this.#sources.push(source);
    source.watch = registry.watch(this.#sinkOf(source));
  }

  /** Every service by `namespace/name`; the same map until something changes. */
  get services(): ReadonlyMap<string, RegistryService> {
    this.#merged ??= mergeServices(this.#sources.map((source) => source.services));
    return this.#merged;
  }

  /** Every instance that a registry tells of by itself, by `namespace/name`; the first registry's word holds. */
  get workloads(): ReadonlyMap<string, RegistryWorkload> {
    this.#workloads ??= new Map(this.#sources.toReversed().flatMap((source) => [...source.workloads]));
    return this.#workloads;
  }

  /** False while a registry has not told anything, be it unreachable or slow: a mesh without its services must not be pushed. */
  get isComplete(): boolean {
    return this.#sources.every((source) => source.state !== "starting");
  }

  status(): readonly RegistryStatus[] {
    return this.#sources.map((source) => ({
      name: source.registry.name,
      state: source.state,
      ageMs: source.state === "stale" ? this.#clock.nowMs() - source.failedAtMs : 0,
      error: source.error,
      services: source.services.size,
      suspects: source.suspects.suspectCount,
    }));
  }

  subscribe(listener: (change: CatalogChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    for (const source of this.#sources) source.suspects.close();
    await Promise.all(this.#sources.map(async (source) => source.watch?.close()));
  }

  #sinkOf(source: Source): RegistrySink {
    const { guardsVanishing } = source.registry;
    const believe = (key: string, told: RegistryService | undefined): CatalogChange | undefined => {
      if (guardsVanishing === "endpoints" && told === undefined) source.suspects.forget(key);
      return store(source, key, guardsVanishing === false ? told : source.suspects.believe(key, told));
    };
    return {
      replace: (services, workloads = []) => {
        const wasStarting = source.state === "starting";
        this.#recover(source);
        const told = new Map(services.map((service) => [serviceKey(service), service]));
        const gone = [...source.services.keys()].filter((key) => !told.has(key));
        const changes = [...told].map(([key, service]) => believe(key, service));
        changes.push(...gone.map((key) => believe(key, undefined)));
        const here = new Set(workloads.map(serviceKey));
        const left = [...source.workloads.keys()].filter((id) => !here.has(id));
        changes.push(storeWorkloads(source, workloads, left));
        this.#tell(...changes, wasStarting ? "services" : undefined);
      },
      change: (changed, removed, workloads) => {
        this.#recover(source);
        const changes = changed.map((service) => believe(serviceKey(service), service));
        changes.push(...removed.map((key) => believe(key, undefined)));
        if (workloads !== undefined) changes.push(storeWorkloads(source, workloads.changed, workloads.removed));
        this.#tell(...changes);
      },
      fail: (error) => {
        if (source.error === undefined) source.failedAtMs = this.#clock.nowMs();
        if (source.error !== error.message)
          this.#log.warn("registry cannot be reached, its last good data stays", {
            registry: source.registry.name,
            error,
          });
        source.error = error.message;
        if (source.state === "live") source.state = "stale";
      },
    };
  }

  #recover(source: Source): void {
    if (source.error !== undefined) this.#log.info("registry is back", { registry: source.registry.name });
    source.state = "live";
    source.error = undefined;
  }

  #tell(...changes: readonly (CatalogChange | undefined)[]): void {
    const change = changes.includes("services") ? "services" : changes.find((one) => one !== undefined);
    if (change === undefined) return;
    this.#merged = undefined;
    this.#workloads = undefined;
    for (const listener of this.#listeners) listener(change);
  }
}

/** Keeps the old object when nothing differs, so that identity means equality from here on. */
function store(source: Source, key: string, next: RegistryService | undefined): CatalogChange | undefined {
  const previous = source.services.get(key);
  if (next === undefined) return source.services.delete(key) ? "services" : undefined;
  if (previous !== undefined && isDeepStrictEqual(previous, next)) return undefined;
  source.services.set(key, next);
  if (previous === undefined) return "services";
  return isDeepStrictEqual(withoutInstances(previous), withoutInstances(next)) ? "endpoints" : "services";
}

function withoutInstances(service: RegistryService): RegistryService {
  const { pending: _, ...rest } = service;
  return { ...rest, endpoints: [] };
}

/** A new instance asks for its configuration at once, so instances are told on without delay. */
function storeWorkloads(
  source: Source,
  changed: readonly RegistryWorkload[],
  removed: readonly string[],
): CatalogChange | undefined {
  let change: CatalogChange | undefined;
  for (const workload of changed) {
    const id = serviceKey(workload);
    if (isDeepStrictEqual(source.workloads.get(id), workload)) continue;
    source.workloads.set(id, workload);
    change = "endpoints";
  }
  for (const id of removed) if (source.workloads.delete(id)) change = "endpoints";
  return change;
}

/** A service known to two registries has the first one's definition and the endpoints of both. */
function mergeServices(sources: readonly ReadonlyMap<string, RegistryService>[]): ReadonlyMap<string, RegistryService> {
  const [first, ...others] = sources;
  if (first === undefined) return new Map();
  const merged = new Map(first);
  for (const services of others) {
    for (const [key, service] of services) {
      const known = merged.get(key);
      if (known === undefined) merged.set(key, service);
      else {
        const names = new Set(known.endpoints.map((endpoint) => endpoint.name));
        const more = service.endpoints.filter((endpoint) => !names.has(endpoint.name));
        merged.set(key, { ...known, endpoints: [...known.endpoints, ...more] });
      }
    }
  }
  return merged;
}
