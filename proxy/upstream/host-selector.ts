// Chooses among the endpoints of one cluster or subset: priority, locality, balancer. Compiled when health or membership changes.
import type { Cluster } from "#config/model/cluster.ts";
import { hashNumber } from "#lib/hash.ts";
import type { Balancer, BalancerContext, MakeBalancer } from "./balancers/balancer.ts";
import type { EndpointState } from "./endpoint-state.ts";
import { priorityLoads } from "./priorities.ts";

/** The endpoints of one locality at one priority, as the assignment groups them. */
export interface LocalityGroup {
  readonly priority: number;
  readonly weight: number;
  readonly hosts: readonly EndpointState[];
}

export interface SelectorSettings {
  readonly cluster: Cluster;
  readonly overprovisioningFactor: number;
  readonly makeBalancer: MakeBalancer;
  readonly context: BalancerContext;
}

/** `limit`: the share of picks (0 to 100) up to which this one is meant, in running sums. */
interface Choice {
  readonly limit: number;
  readonly hosts: readonly EndpointState[];
  /** Made at the first pick: hash tables of priorities that nobody uses would cost for nothing. */
  balancer: Balancer | undefined;
}

/** Retries take another endpoint if there is one: so many tries by the balancer, then the list in order. */
const AVOID_TRIES = 4;

export class HostSelector {
  readonly #settings: SelectorSettings;
  readonly #choices: Choice[] = [];
  /** Endpoints of any health that are not draining. */
  readonly total: number;
  /** Some of them may be used without panic. */
  readonly hasUsable: boolean;

  constructor(groups: readonly LocalityGroup[], settings: SelectorSettings) {
    this.#settings = settings;
    this.total = this.#compile(groups);
    this.hasUsable = countOf(groups, "healthy") + countOf(groups, "degraded") > 0;
  }

  /** ... and is none of those. */
  hasUsableBut(isAvoided: (host: EndpointState) => boolean): boolean {
    return this.#choices.some(({ hosts }) => hosts.some((host) => isUsable(host) && !isAvoided(host)));
  }

  /** Undefined: no endpoint may be used. */
  pick(
    hash: number | undefined,
    avoid: (host: EndpointState) => boolean,
    hasAvoid: boolean,
  ): EndpointState | undefined {
    const first = this.#pickOnce(hash);
    if (!hasAvoid || first === undefined || !avoid(first)) return first;
    for (let i = 1; i <= AVOID_TRIES; i++) {
      const other = this.#pickOnce(hash === undefined ? undefined : hashNumber(hash + i * 2654435761));
      if (other !== undefined && !avoid(other)) return other;
    }
    for (const { hosts } of this.#choices) for (const host of hosts) if (!avoid(host)) return host;
    return first;
  }

  #pickOnce(hash: number | undefined): EndpointState | undefined {
    const choices = this.#choices;
    let choice = choices[0];
    if (choice === undefined) return undefined;
    if (choices.length > 1) {
      const wanted = (hash === undefined ? this.#settings.context.random.next() : hashNumber(hash) / 4294967296) * 100;
      for (let i = 0; i < choices.length; i++) {
        choice = choices[i] ?? choice;
        if (wanted < choice.limit) break;
      }
    }
    choice.balancer ??= this.#settings.makeBalancer(choice.hosts, this.#settings.context);
    return choice.balancer.pick(hash);
  }

  #compile(groups: readonly LocalityGroup[]): number {
    const byPriority = new Map<number, LocalityGroup[]>();
    for (const group of groups) {
      const usable = { ...group, hosts: group.hosts.filter((host) => host.usability() !== "draining") };
      byPriority.set(group.priority, [...(byPriority.get(group.priority) ?? []), usable]);
    }
    const levels = [...byPriority.keys()].sort((left, right) => left - right).map((key) => byPriority.get(key) ?? []);
    const counts = levels.map((level) => ({
      total: countOf(level, undefined),
      healthy: countOf(level, "healthy"),
      degraded: countOf(level, "degraded"),
    }));
    const { overprovisioningFactor, cluster } = this.#settings;
    const loads = priorityLoads(counts, overprovisioningFactor, cluster.panicThresholdPercent);
    let sum = 0;
    for (const [i, level] of levels.entries()) {
      const load = loads[i];
      if (load === undefined) continue;
      if (load.isPanicking) {
        sum = this.#add(level, undefined, sum, load.healthyShare + load.degradedShare);
        continue;
      }
      sum = this.#add(level, "healthy", sum, load.healthyShare);
      sum = this.#add(level, "degraded", sum, load.degradedShare);
    }
    return counts.reduce((total, count) => total + count.total, 0);
  }

  /** Splits a priority's share among its localities, when they have weights, or takes all its endpoints as one list. */
  #add(level: readonly LocalityGroup[], kind: "healthy" | "degraded" | undefined, sum: number, share: number): number {
    if (share <= 0) return sum;
    const groups = level
      .map((group) => ({ group, hosts: select(group, kind) }))
      .filter(({ hosts }) => hosts.length > 0);
    if (!this.#weighsLocalities(level)) {
      this.#choices.push({ limit: sum + share, hosts: groups.flatMap(({ hosts }) => hosts), balancer: undefined });
      return sum + share;
    }
    // Envoy's locality weights: what a locality lacks in healthy endpoints, beyond the overprovisioning, it lacks in weight.
    const effective = groups.map(
      ({ group, hosts }) =>
        group.weight * Math.min(1, (hosts.length / group.hosts.length) * (this.#settings.overprovisioningFactor / 100)),
    );
    const total = effective.reduce((all, weight) => all + weight, 0);
    if (total === 0) return sum + share;
    let running = sum;
    for (const [i, { hosts }] of groups.entries()) {
      if (effective[i] === 0) continue;
      running += (share * (effective[i] ?? 0)) / total;
      this.#choices.push({ limit: running, hosts, balancer: undefined });
    }
    return sum + share;
  }

  /** Where no locality has a weight they do not count, as in Envoy. */
  #weighsLocalities(level: readonly LocalityGroup[]): boolean {
    return this.#settings.cluster.weighsLocalities === true && level.some(({ weight }) => weight > 0);
  }
}

function select(group: LocalityGroup, kind: "healthy" | "degraded" | undefined): readonly EndpointState[] {
  return kind === undefined ? group.hosts : group.hosts.filter((host) => host.usability() === kind);
}

function isUsable(host: EndpointState): boolean {
  const usability = host.usability();
  return usability === "healthy" || usability === "degraded";
}

function countOf(level: readonly LocalityGroup[], kind: "healthy" | "degraded" | undefined): number {
  return level.reduce((total, group) => total + select(group, kind).length, 0);
}
