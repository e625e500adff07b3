// Chooses the virtual host of a request: exact name, then the longest `*.suffix`, then the longest `prefix.*`, then `*`
// (Envoy `VirtualHost.domains`). Names are compared without regard to case.

interface Wildcard<T> {
  readonly text: string;
  readonly host: T;
}

export class HostTable<T> {
  readonly #exact = new Map<string, T>();
  readonly #suffixes: Wildcard<T>[] = [];
  readonly #prefixes: Wildcard<T>[] = [];
  #any: T | undefined;

  /** Throws when a domain stands twice. */
  constructor(hosts: readonly (readonly [domains: readonly string[], host: T])[]) {
    const seen = new Set<string>();
    for (const [domains, host] of hosts) {
      for (const domain of domains) {
        const key = domain.toLowerCase();
        if (seen.has(key)) throw new Error(`Cannot use domain "${domain}" in two virtual hosts of one table`);
        seen.add(key);
        this.#add(key, host);
      }
    }
    this.#suffixes.sort(longestFirst);
    this.#prefixes.sort(longestFirst);
  }

  /** `authority` as the request has it, port included. */
  find(authority: string): T | undefined {
    if (this.#exact.size > 0 || this.#suffixes.length > 0 || this.#prefixes.length > 0) {
      const exact = this.#exact.get(authority);
      if (exact !== undefined) return exact;
      const name = authority.toLowerCase();
      const found = this.#exact.get(name) ?? this.#findWildcard(name);
      if (found !== undefined) return found;
    }
    return this.#any;
  }

  #add(domain: string, host: T): void {
    if (domain === "*") this.#any = host;
    else if (domain.startsWith("*")) this.#suffixes.push({ text: domain.slice(1), host });
    else if (domain.endsWith("*")) this.#prefixes.push({ text: domain.slice(0, -1), host });
    else this.#exact.set(domain, host);
  }

  #findWildcard(name: string): T | undefined {
    for (const { text, host } of this.#suffixes) if (name.length > text.length && name.endsWith(text)) return host;
    for (const { text, host } of this.#prefixes) if (name.length > text.length && name.startsWith(text)) return host;
    return undefined;
  }
}

function longestFirst(left: { readonly text: string }, right: { readonly text: string }): number {
  return right.text.length - left.text.length;
}
