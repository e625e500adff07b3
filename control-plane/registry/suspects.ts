// Keeps endpoints that vanish in a mass: a registry that loses its mind must not empty a service (contracts.md, Registries).
import type { Clock, Timer } from "#lib/clock.ts";
import type { RegistryEndpoint, RegistryService } from "./registry.ts";

/** More than this share and at least so many, within the window, is a mass; then they stay for `keepMs`. */
const suspectRule = { share: 0.3, atLeast: 3, windowMs: 10_000, keepMs: 90_000 } as const;

interface Vanished {
  readonly endpoint: RegistryEndpoint;
  readonly atMs: number;
}

interface Watched {
  /** What the registry says now; undefined: it dropped the service. */
  truth: RegistryService | undefined;
  /** The last definition, for a service that was dropped as a whole. */
  last: RegistryService;
  vanished: readonly Vanished[];
  /** Names in `vanished` that are kept. */
  suspects: ReadonlySet<string>;
  timer: Timer | undefined;
}

/** One per registry. `onExpire` is told the service that lost suspects because their time is up. */
export class SuspectKeeper {
  readonly #clock: Clock;
  readonly #onExpire: (key: string, service: RegistryService | undefined) => void;
  readonly #services = new Map<string, Watched>();

  constructor(clock: Clock, onExpire: (key: string, service: RegistryService | undefined) => void) {
    this.#clock = clock;
    this.#onExpire = onExpire;
  }

  /** How many endpoints are kept though the registry dropped them. */
  get suspectCount(): number {
    let count = 0;
    for (const watched of this.#services.values()) count += watched.suspects.size;
    return count;
  }

  /** Takes what the registry says of a service (undefined: gone); gives what is to be believed. */
  believe(key: string, told: RegistryService | undefined): RegistryService | undefined {
    let watched = this.#services.get(key);
    if (watched === undefined) {
      if (told === undefined) return undefined;
      watched = { truth: told, last: told, vanished: [], suspects: new Set(), timer: undefined };
      this.#services.set(key, watched);
      return told;
    }
    const now = this.#clock.nowMs();
    const here = new Set(told?.endpoints.map((endpoint) => endpoint.name));
    // One that was draining has said goodbye: its end is no surprise.
    const gone = (watched.truth?.endpoints ?? []).filter(
      (endpoint) => !here.has(endpoint.name) && endpoint.health !== "draining",
    );
    watched.vanished = [
      ...watched.vanished.filter(({ endpoint }) => !here.has(endpoint.name)),
      ...gone.map((endpoint) => ({ endpoint, atMs: now })),
    ];
    watched.truth = told;
    if (told !== undefined) watched.last = told;
    return this.#settle(key, watched);
  }

  /** The service was removed on purpose: nothing of it is kept. */
  forget(key: string): void {
    this.#services.get(key)?.timer?.cancel();
    this.#services.delete(key);
  }

  close(): void {
    for (const watched of this.#services.values()) watched.timer?.cancel();
    this.#services.clear();
  }

  #settle(key: string, watched: Watched): RegistryService | undefined {
    const now = this.#clock.nowMs();
    watched.timer?.cancel();
    watched.timer = undefined;
    // Kept ones live keepMs; the others are remembered only as long as they can still become part of a mass.
    watched.vanished = watched.vanished.filter(({ endpoint, atMs }) => {
      const lifeMs = watched.suspects.has(endpoint.name) ? suspectRule.keepMs : suspectRule.windowMs;
      return now - atMs < lifeMs;
    });
    const recent = watched.vanished.filter(({ atMs }) => now - atMs < suspectRule.windowMs);
    const total = (watched.truth?.endpoints.length ?? 0) + recent.length;
    const isMass = recent.length >= suspectRule.atLeast && recent.length > total * suspectRule.share;
    const kept = watched.vanished.filter(
      ({ endpoint, atMs }) => watched.suspects.has(endpoint.name) || (isMass && now - atMs < suspectRule.windowMs),
    );
    watched.suspects = new Set(kept.map(({ endpoint }) => endpoint.name));
    const nextMs = Math.min(...kept.map(({ atMs }) => atMs + suspectRule.keepMs));
    if (kept.length > 0)
      watched.timer = this.#clock.setTimer(nextMs - now, () => this.#onExpire(key, this.#settle(key, watched)));
    if (kept.length === 0) {
      if (watched.truth === undefined && watched.vanished.length === 0) this.#services.delete(key);
      return watched.truth;
    }
    const suspects = kept.map(({ endpoint }) => ({ ...endpoint, isSuspect: true }));
    return { ...watched.last, endpoints: [...(watched.truth?.endpoints ?? []), ...suspects] };
  }
}
