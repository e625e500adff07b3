// All circuit breakers of one worker, by cluster, and by route or tenant: made at first use and kept through configuration changes.
// Those of a cluster end with it.
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { BreakerState } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import { BREAKER_CELLS, ClusterBreaker } from "./breaker.ts";
import { KeyedBreakers } from "./keyed-breakers.ts";
import type { SharedCells } from "./shared-cells.ts";

export interface BreakersContext {
  readonly clock: Clock;
  readonly cells: SharedCells;
  /** Told of each change of state, for metrics and the log. `scope`: a cluster, or a route; `key`: a tenant, where each has its own. */
  readonly onChange?: (scope: string, state: BreakerState["state"], key: string) => void;
}

export interface ScopedState {
  readonly scope: string;
  readonly key: string;
  readonly state: BreakerState["state"];
}

/** Closed breakers of routes and tenants that nobody asked for in so long are put away. */
const IDLE_MS = 600_000;

export class Breakers {
  readonly #context: BreakersContext;
  readonly #breakers = new Map<string, ClusterBreaker>();
  readonly #scopes = new Map<string, KeyedBreakers>();

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
      onChange === undefined ? undefined : (state) => onChange(cluster, state, ""),
    );
    this.#breakers.set(cluster, made);
    return made;
  }

  /** Those of a scope that is not simply a cluster, one for each key; another policy starts closed. */
  keyed(scope: string, policy: BreakerPolicy): KeyedBreakers {
    const definition = definitionOf(policy);
    const known = this.#scopes.get(scope);
    if (known?.definition === definition) return known;
    known?.shutDown();
    const { clock, cells, onChange } = this.#context;
    const tell = onChange && ((key: string, state: BreakerState["state"]) => onChange(scope, state, key));
    const made = new KeyedBreakers(scope, policy, definition, clock, cells, tell);
    this.#scopes.set(scope, made);
    return made;
  }

  /** Shuts down the breakers of clusters that are not among these any more, and puts those to rest that nothing uses. */
  retain(clusters: ReadonlySet<string>): void {
    const idleMs = this.#context.clock.nowMs() - IDLE_MS;
    for (const breakers of this.#scopes.values()) if (breakers.usedMs < idleMs && breakers.isClosed) breakers.rest();
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

  /** Each breaker that is not simply a cluster's. */
  scopedStates(): readonly ScopedState[] {
    return [...this.#scopes].flatMap(([scope, breakers]) =>
      breakers.states().map(([key, state]) => ({ scope, key, state })),
    );
  }

  shutDown(): void {
    this.retain(new Set());
    for (const breakers of this.#scopes.values()) breakers.shutDown();
    this.#scopes.clear();
  }
}

function isSamePolicy(left: BreakerPolicy, right: BreakerPolicy): boolean {
  return definitionOf(left) === definitionOf(right);
}

function definitionOf(policy: BreakerPolicy): string {
  const per = policy.per === undefined ? "" : `/${policy.per}`;
  return `${policy.volumeThreshold}/${policy.errorPercent}/${policy.windowMs}/${policy.sleepWindowMs}${per}`;
}
