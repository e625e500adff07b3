// What one proxy asked for of one kind, what it has of it, and what it lacks.
import type { ResourceKind } from "#config/xds/type-urls.ts";
import type { EncodedResource, EncodedResources } from "./encoded-resource.ts";
import type { Rejections } from "./rejections.ts";

/** Stands for the version of a name that the proxy was told does not exist. */
const ABSENT = "";

export interface Difference {
  readonly changed: readonly EncodedResource[];
  /** Asked for, and there is none: the proxy is told at once, so that it does not wait. */
  readonly absent: readonly string[];
  /** The proxy has it, and it is gone. */
  readonly removed: readonly string[];
}

export class Subscription {
  readonly kind: ResourceKind;
  isWildcard = false;
  readonly names = new Set<string>();
  /** To be sent even if the proxy has that version, and while another response is not answered. */
  readonly urgent = new Set<string>();
  readonly #known = new Map<string, string>();

  constructor(kind: ResourceKind) {
    this.kind = kind;
  }

  get knownSize(): number {
    return this.#known.size;
  }

  /** The version that the proxy has or was sent; `undefined` when none. */
  versionOf(name: string): string | undefined {
    const version = this.#known.get(name);
    return version === ABSENT ? undefined : version;
  }

  wants(name: string): boolean {
    return this.isWildcard || this.names.has(name);
  }

  setKnown(name: string, version: string | undefined): void {
    if (version === undefined) this.#known.delete(name);
    else this.#known.set(name, version);
  }

  setAbsent(name: string): void {
    if (this.names.has(name)) this.#known.set(name, ABSENT);
    else this.#known.delete(name);
    this.urgent.delete(name);
  }

  unsubscribe(name: string): void {
    this.names.delete(name);
    this.urgent.delete(name);
    if (!this.isWildcard) this.#known.delete(name);
  }

  endWildcard(): void {
    this.isWildcard = false;
    for (const name of this.#known.keys()) if (!this.names.has(name)) this.#known.delete(name);
  }

  compare(offered: EncodedResources, rejections: Rejections): Difference {
    const changed: EncodedResource[] = [];
    const absent: string[] = [];
    const removed: string[] = [];
    const consider = (resource: EncodedResource): void => {
      const { name, version } = resource;
      if (this.#known.get(name) === version && !this.urgent.has(name)) return;
      if (!rejections.has(this.kind, name, version)) changed.push(resource);
    };
    if (this.isWildcard) for (const resource of offered.values()) consider(resource);
    for (const name of this.names) {
      const resource = offered.get(name);
      if (resource === undefined) {
        if (!this.#known.has(name) || (this.urgent.has(name) && this.#known.get(name) === ABSENT)) absent.push(name);
      } else if (!this.isWildcard) consider(resource);
    }
    for (const [name, version] of this.#known) {
      if (version !== ABSENT && !offered.has(name)) removed.push(name);
    }
    return { changed, absent, removed };
  }
}
