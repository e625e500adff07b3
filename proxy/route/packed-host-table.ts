// Chooses the virtual host of a request in packed ones, as host-table.ts does in others. A host is read and compiled when the first
// request comes for it: a push costs a data thread nothing, however many hosts are in it.
import type { VirtualHost } from "#config/model/route.ts";
import { HostReader, type PackedHosts } from "#config/xds/plain/packed-hosts.ts";

import { HostTable } from "./host-table.ts";

export class PackedHostTable<T> {
  readonly #reader: HostReader;
  readonly #wildcards: HostTable<number>;
  readonly #compile: (host: VirtualHost) => T;
  readonly #compiled = new Map<number, T>();

  /** Throws when one that is not plain does not compile; plain ones always do. */
  constructor(hosts: PackedHosts, compile: (host: VirtualHost) => T) {
    this.#reader = new HostReader(hosts);
    this.#wildcards = new HostTable(hosts.wildcards.map(([domain, host]) => [[domain], host] as const));
    this.#compile = compile;
    for (const [number, host] of hosts.others) this.#compiled.set(number, compile(host));
  }

  /** `authority` as the request has it, port included. */
  find(authority: string): T | undefined {
    const exact = this.#reader.find(authority);
    const host = exact >= 0 ? exact : this.#wildcards.find(authority);
    return host === undefined ? undefined : this.#compiledAt(host);
  }

  #compiledAt(host: number): T {
    const known = this.#compiled.get(host);
    if (known !== undefined) return known;
    const made = this.#compile(this.#reader.read(host));
    this.#compiled.set(host, made);
    return made;
  }
}
