// What a proxy refused and why, kept so that the same bytes are not sent to it again.
import type { ResourceKind } from "#config/xds/type-urls.ts";

export interface Rejection {
  readonly kind: ResourceKind;
  readonly name: string;
  readonly version: string;
  /** The proxy's own words. */
  readonly reason: string;
  /** Unix time. */
  readonly atMs: number;
}

/** Belongs to the proxy, not to a stream: a reconnect is no reason to send again what was refused. */
export class Rejections {
  readonly #byKey = new Map<string, Rejection>();

  get all(): Rejection[] {
    return [...this.#byKey.values()];
  }

  add(rejection: Rejection): void {
    this.#byKey.set(keyOf(rejection.kind, rejection.name), rejection);
  }

  /** True while `version` of this resource is what was refused. */
  has(kind: ResourceKind, name: string, version: string): boolean {
    return this.#byKey.get(keyOf(kind, name))?.version === version;
  }

  /** Another version was taken, or the resource is gone. */
  forget(kind: ResourceKind, name: string): void {
    this.#byKey.delete(keyOf(kind, name));
  }

  /** Forgets the refusals of what is not offered any more in that version. */
  retain(isOffered: (rejection: Rejection) => boolean): void {
    for (const [key, rejection] of this.#byKey) if (!isOffered(rejection)) this.#byKey.delete(key);
  }

  /** A proxy that starts anew may be another program by now. */
  clear(): void {
    this.#byKey.clear();
  }
}

function keyOf(kind: ResourceKind, name: string): string {
  return `${kind} ${name}`;
}

/** Those of `names` that an error text names as whole words. Proxies name the culprits in their error detail. */
export function namesIn(text: string, names: Iterable<string>): string[] {
  return [...names].filter((name) => name !== "" && hasWord(text, name));
}

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const before = text.slice(Math.max(0, at - 1), at);
    const after = text.slice(at + word.length, at + word.length + 2);
    if (!/[\w/|@.-]/.test(before) && !/^(?:[\w/|@-]|\.\w)/.test(after)) return true;
  }
  return false;
}
