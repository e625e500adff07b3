// Route tables with the virtual hosts that were asked for put in; a table whose hosts did not change stays the same object.
import type { RouteTable, VirtualHost } from "#config/model/route.ts";

interface Merged {
  readonly base: RouteTable;
  readonly hosts: readonly VirtualHost[];
  readonly table: RouteTable;
}

/** The table's part of a name under which a virtual host is asked for; hosts have no slash in them, tables may. */
export function tableOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

export class OnDemandTables {
  readonly #merged = new Map<string, Merged>();

  /** `held`: virtual hosts by `<table>/<host>`. */
  merge(
    tables: ReadonlyMap<string, RouteTable>,
    held: ReadonlyMap<string, VirtualHost>,
  ): ReadonlyMap<string, RouteTable> {
    if (held.size === 0) return tables;
    const byTable = Map.groupBy(held, ([name]) => tableOf(name));
    const result = new Map(tables);
    for (const [name, entries] of byTable) {
      const base = tables.get(name);
      if (base?.onDemand === true) result.set(name, this.#mergeOne(base, entries));
    }
    return result;
  }

  #mergeOne(base: RouteTable, entries: readonly (readonly [string, VirtualHost])[]): RouteTable {
    const hosts = entries.map(([, host]) => host);
    const known = this.#merged.get(base.name);
    const isSame =
      known?.base === base &&
      known.hosts.length === hosts.length &&
      hosts.every((host, at) => host === known.hosts[at]);
    if (isSame) return known.table;
    const table = { ...base, virtualHosts: join(base, entries) };
    this.#merged.set(base.name, { base, hosts, table });
    return table;
  }
}

/** One host may have been asked for by two of its names. While a name moves to another host both may claim it: who was asked has it. */
function join(base: RouteTable, entries: readonly (readonly [string, VirtualHost])[]): readonly VirtualHost[] {
  const owners = new Map<string, string>();
  for (const host of base.virtualHosts) for (const domain of host.domains) owners.set(domain.toLowerCase(), host.name);
  const take = (domain: string, host: VirtualHost): void => {
    if (!owners.has(domain)) owners.set(domain, host.name);
  };
  for (const [name, host] of entries) take(name.slice(base.name.length + 1), host);
  const unique = new Map(entries.map(([, host]) => [host.name, host]));
  for (const host of unique.values()) for (const domain of host.domains) take(domain.toLowerCase(), host);
  const joined = [...unique.values()].map((host) => {
    const domains = host.domains.filter((domain) => owners.get(domain.toLowerCase()) === host.name);
    return domains.length === host.domains.length ? host : { ...host, domains };
  });
  return [...base.virtualHosts, ...joined];
}
