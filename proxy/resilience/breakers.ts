// All circuit breakers of one worker by cluster: made at first use, kept through configuration changes, shut down with their cluster.
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { BreakerState } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import { BREAKER_CELLS, ClusterBreaker } from "./breaker.ts";
import type { SharedCells } from "./shared-cells.ts";

export interface BreakersContext {
  readonly clock: Clock;
  readonly cells: SharedCells;
  /** Told of each change of state, for metrics and the log. */
  readonly onChange?: (cluster: string, state: BreakerState["state"]) => void;
}

export class Breakers {
  readonly #context: BreakersContext;
  readonly #breakers = new Map<string, ClusterBreaker>();

  constructor(context: BreakersContext) {
    this.#context = context;
  }

  /** The breaker of a cluster. It keeps its state while the policy has the same values; another policy starts closed. */
  get(cluster: string, policy: BreakerPolicy): ClusterBreaker {
    const known = this.#breakers.get(cluster);
    if (known !== undefined && isSamePolicy(known.policy, policy)) return known;
    known?.shutDown();
    const { clock, cells, onChange } = this.#context;
    const made = new ClusterBreaker(
      cluster,
      policy,
      clock,
      cells.cells(`breaker/${cluster}/${definitionOf(policy)}`, BREAKER_CELLS),
      onChange === undefined ? undefined : (state) => onChange(cluster, state),
    );
    this.#breakers.set(cluster, made);
    return made;
  }

  /** Shuts down the breakers of clusters that are not among these any more. */
  retain(clusters: ReadonlySet<string>): void {
    for (const [name, breaker] of this.#breakers) {
      if (clusters.has(name)) continue;
      breaker.shutDown();
      this.#breakers.delete(name);
    }
  }

  /** Cluster and state of each breaker, for admin and metrics. */
  states(): readonly (readonly [cluster: string, state: BreakerState["state"]])[] {
    return [...this.#breakers].map(([name, breaker]) => [name, breaker.state]);
  }

  shutDown(): void {
    this.retain(new Set());
  }
}

function isSamePolicy(left: BreakerPolicy, right: BreakerPolicy): boolean {
  return definitionOf(left) === definitionOf(right);
}

function definitionOf(policy: BreakerPolicy): string {
  return `${policy.volumeThreshold}/${policy.errorPercent}/${policy.windowMs}/${policy.sleepWindowMs}`;
}
