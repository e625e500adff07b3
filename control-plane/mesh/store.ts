// Holds the current snapshot and makes the next one when services or documents change: endpoints at once, the rest coalesced.
import type { Resource } from "#config/schema/kinds.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import type { RegistryService, RegistryWorkload } from "../registry/registry.ts";
import { makeSnapshot, type MeshSnapshot } from "./snapshot.ts";

/** Istio's debounce: quiet for 100 ms, at most 10 s. Endpoints do not wait. */
const meshDebounce = { quietMs: 100, longestMs: 10_000 } as const;

/** What a snapshot is made from. */
export interface MeshSources {
  readonly services: () => ReadonlyMap<string, RegistryService>;
  readonly workloads: () => ReadonlyMap<string, RegistryWorkload>;
  readonly resources: () => readonly Resource[];
  /** False: something has not told anything yet, and a mesh without it must not be pushed. */
  readonly isComplete: () => boolean;
  /** Holds over the MeshConfig's. */
  readonly trustDomain?: string | undefined;
}

export class MeshStore {
  readonly #clock: Clock;
  readonly #sources: MeshSources;
  readonly #listeners = new Set<() => void>();
  #current: MeshSnapshot | undefined;
  #timer: Timer | undefined;
  #firstMs = 0;

  constructor(clock: Clock, sources: MeshSources) {
    this.#clock = clock;
    this.#sources = sources;
  }

  /** undefined until every source has told something. */
  get current(): MeshSnapshot | undefined {
    return this.#current;
  }

  /** Something changed. `now`: endpoints, or a source that has coalesced already. */
  invalidate(urgency: "now" | "soon"): void {
    if (urgency === "now") {
      this.rebuild();
      return;
    }
    const nowMs = this.#clock.nowMs();
    if (this.#timer === undefined) this.#firstMs = nowMs;
    this.#timer?.cancel();
    const restMs = this.#firstMs + meshDebounce.longestMs - nowMs;
    this.#timer = this.#clock.setTimer(Math.max(0, Math.min(meshDebounce.quietMs, restMs)), () => this.rebuild());
  }

  /** Makes the snapshot now; tells it on only when something differs. */
  rebuild(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!this.#sources.isComplete()) return;
    const { services, workloads, resources, trustDomain } = this.#sources;
    const input = { services: services(), workloads: workloads(), resources: resources(), trustDomain };
    const next = makeSnapshot(input, this.#current);
    if (next === this.#current) return;
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#timer?.cancel();
    this.#listeners.clear();
  }
}
