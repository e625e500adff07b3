// All clusters of one worker, and what of them survives a change of configuration.
import { lookup } from "node:dns/promises";
import type { Cluster } from "#config/model/cluster.ts";
import type { ClusterLoadAssignment, EndpointHealth } from "#config/model/endpoint.ts";
import type { ClusterSet, ClusterSnapshot, UpstreamCluster } from "./contract.ts";
import { ClusterRuntime, type UpstreamContext } from "./cluster.ts";
import { DnsWatch, type LookupHost } from "./dns-watch.ts";
import { PeerLifetimes } from "./peer-lifetime.ts";

interface Entry {
  readonly runtime: ClusterRuntime;
  dns: DnsWatch | undefined;
  /** What `dns` was made for. */
  dnsKey: string;
}

/**
 * | state                                        | keyed by                | starts anew when                                              |
 * | -------------------------------------------- | ----------------------- | ------------------------------------------------------------- |
 * | active connections, pending, requests, retries | cluster name          | never (a lowered limit runs out by itself)                    |
 * | ejection, its count and end, outlier counts  | cluster, address:port   | the endpoint leaves, or the outlier policy is removed         |
 * | checked health, slow start                   | cluster, address:port   | the endpoint leaves                                           |
 * | peak EWMA, active requests, totals           | cluster, address:port   | the endpoint leaves                                           |
 * | pools                                        | cluster, address:port, HTTP version | the endpoint leaves (they drain); on another TLS setting, identity, secret or HTTP option connections drain and the waiters go over |
 * | how long a peer keeps its connections        | address:port, HTTP version | never; forgotten after 10 min without confirmation (`peer-lifetime.ts`) |
 * | balancer's turn, hash tables, subsets        | cluster                 | anything of the cluster or its endpoints changed: they hold no history that matters |
 * | addresses of DNS names                       | cluster                 | the names or the refresh time changed                         |
 * | breaker                                      | cluster                 | its policy changed (`proxy/resilience/breakers.ts`)           |
 *
 * A cluster that is equal to before is not touched at all. An EDS cluster without an assignment in `apply` keeps the one
 * it has. Exchanges that run keep the endpoint that they chose, also when it is removed meanwhile.
 */
export class ClusterTable implements ClusterSet {
  readonly #context: UpstreamContext;
  readonly #entries = new Map<string, Entry>();
  readonly #lifetimes = new PeerLifetimes();

  constructor(context: UpstreamContext) {
    this.#context = context;
    context.connector.watchSecrets?.((secrets) => this.renewTls(secrets));
  }

  get(name: string): UpstreamCluster | undefined {
    return this.#entries.get(name)?.runtime;
  }

  apply(clusters: readonly Cluster[], assignments: ReadonlyMap<string, ClusterLoadAssignment>): void {
    const names = new Set<string>();
    for (const cluster of clusters) {
      names.add(cluster.name);
      this.#applyOne(cluster, assignments);
    }
    for (const [name, entry] of this.#entries) {
      if (names.has(name)) continue;
      this.#entries.delete(name);
      close(entry);
    }
  }

  setHealth(cluster: string, address: string, health: EndpointHealth): void {
    this.#entries.get(cluster)?.runtime.setHealth(address, health);
  }

  renewTls(secrets: ReadonlySet<string>): void {
    for (const { runtime } of this.#entries.values()) runtime.renewTls(secrets);
  }

  snapshot(): readonly ClusterSnapshot[] {
    return [...this.#entries.values()].map(({ runtime }) => runtime.snapshot());
  }

  close(): void {
    for (const entry of this.#entries.values()) close(entry);
    this.#entries.clear();
  }

  #applyOne(cluster: Cluster, assignments: ReadonlyMap<string, ClusterLoadAssignment>): void {
    const known = this.#entries.get(cluster.name);
    const { discovery } = cluster;
    const isDns = discovery.kind === "strictDns" || discovery.kind === "logicalDns";
    const given = isDns ? undefined : assignmentOf(cluster, assignments);
    const assignment = given ?? known?.runtime.assignment ?? emptyAssignment(cluster.name);
    const entry = known ?? {
      runtime: new ClusterRuntime(cluster, assignment, this.#context, this.#lifetimes),
      dns: undefined,
      dnsKey: "",
    };
    if (known === undefined) this.#entries.set(cluster.name, entry);
    else entry.runtime.update(cluster, assignment);
    const dnsKey = isDns ? JSON.stringify(discovery) : "";
    if (dnsKey === entry.dnsKey) return;
    entry.dnsKey = dnsKey;
    entry.dns?.close();
    const { lookup: lookupHost, clock, log } = this.#context;
    entry.dns = isDns
      ? new DnsWatch({
          ...discovery,
          lookup: lookupHost,
          clock,
          log,
          onChange: (resolved) => entry.runtime.update(entry.runtime.config, resolved),
        })
      : undefined;
  }
}

/** The system's resolver (`/etc/hosts`, `resolv.conf`) through libuv's threads. */
export const systemLookup: LookupHost = async (name) => {
  const found = await lookup(name, { all: true, order: "verbatim" });
  return found.map(({ address }) => address);
};

function close({ runtime, dns }: Entry): void {
  dns?.close();
  runtime.close();
}

function assignmentOf(
  { name, discovery }: Cluster,
  assignments: ReadonlyMap<string, ClusterLoadAssignment>,
): ClusterLoadAssignment | undefined {
  if (discovery.kind === "static") return discovery.assignment;
  if (discovery.kind !== "eds") return undefined;
  return assignments.get(discovery.serviceName === "" ? name : discovery.serviceName) ?? assignments.get(name);
}

function emptyAssignment(cluster: string): ClusterLoadAssignment {
  return { cluster, localities: [], overprovisioningFactor: 140 };
}
