// What the proxy holds of one kind of resource, what it wants, and what it waits for.
import type { ResourceKind } from "#config/xds/type-urls.ts";
import type { DecodedResource } from "#config/xds/resource.ts";

export interface Held {
  readonly version: string;
  readonly resource: DecodedResource;
  /** As it came, to be stored and for nothing else. */
  readonly bytes: Uint8Array;
}

/** What has to be told to the control plane after the wanted names changed. */
export interface SubscriptionChange {
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
}

export class KindStore {
  readonly kind: ResourceKind;
  readonly isWildcard: boolean;
  readonly held = new Map<string, Held>();
  readonly wanted = new Set<string>();
  /** Told by the control plane not to exist. */
  readonly #absent = new Set<string>();
  /** Wanted names without an answer, and since when (monotonic ms). */
  readonly #waiting = new Map<string, number>();
  readonly #unawaited: ReadonlySet<string>;
  #wildcardSinceMs: number | undefined;

  /** `unawaited`: names without which a configuration is complete. */
  constructor(kind: ResourceKind, isWildcard: boolean, unawaited: ReadonlySet<string> = new Set()) {
    this.kind = kind;
    this.#unawaited = unawaited;
    this.isWildcard = isWildcard;
  }

  /** A stream begins: the waiting starts anew. */
  begin(nowMs: number): void {
    this.#absent.clear();
    if (this.isWildcard && this.held.size === 0) this.#wildcardSinceMs = nowMs;
    for (const name of this.wanted) this.#await(name, nowMs);
  }

  /** The first response of a wildcard came, whatever was in it. */
  onResponse(): void {
    this.#wildcardSinceMs = undefined;
  }

  put(name: string, held: Held): void {
    this.held.set(name, held);
    this.#absent.delete(name);
    this.#waiting.delete(name);
  }

  remove(name: string): boolean {
    this.#waiting.delete(name);
    if (this.wanted.has(name)) this.#absent.add(name);
    return this.held.delete(name);
  }

  isAbsent(name: string): boolean {
    return this.#absent.has(name);
  }

  /** A version that could not be used: the wait is over all the same. */
  refuse(name: string): void {
    this.#waiting.delete(name);
  }

  want(names: ReadonlySet<string>, nowMs: number): SubscriptionChange {
    const subscribe = [...names].filter((name) => !this.wanted.has(name));
    const unsubscribe = [...this.wanted].filter((name) => !names.has(name));
    for (const name of subscribe) {
      this.wanted.add(name);
      this.#await(name, nowMs);
    }
    for (const name of unsubscribe) {
      this.wanted.delete(name);
      this.held.delete(name);
      this.#absent.delete(name);
      this.#waiting.delete(name);
    }
    return { subscribe, unsubscribe };
  }

  /** The time from which on nothing is waited for any more, when each wait ends after `limitMs`; `undefined`: nothing is. */
  waitsUntil(limitMs: number): number | undefined {
    const starts = [...this.#waiting.values()];
    if (this.#wildcardSinceMs !== undefined) starts.push(this.#wildcardSinceMs);
    return starts.length === 0 ? undefined : Math.max(...starts) + limitMs;
  }

  #await(name: string, nowMs: number): void {
    if (!this.held.has(name) && !this.#unawaited.has(name)) this.#waiting.set(name, nowMs);
  }

  get versions(): Record<string, string> {
    return Object.fromEntries([...this.held].map(([name, { version }]) => [name, version]));
  }
}
