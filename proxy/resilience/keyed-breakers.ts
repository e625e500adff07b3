// Circuit breakers of one route, or one for each tenant: at most so many, whatever names come.
import type { BreakerPolicy } from "#config/model/cluster.ts";
import type { BreakerState } from "#filters/filter.ts";
import type { Clock } from "#lib/clock.ts";
import { keyedSlotCells, KeyedSlots } from "#lib/keyed-slots.ts";
import { BREAKER_CELLS, ClusterBreaker, isBreakerClosed } from "./breaker.ts";
import type { SharedCells } from "./shared-cells.ts";

/** Keys that have a breaker of their own at once; a closed one makes room, and what finds none shares one. */
export const MAX_BREAKER_KEYS = 1000;

export class KeyedBreakers {
  readonly definition: string;
  usedMs: number;
  readonly #scope: string;
  readonly #policy: BreakerPolicy;
  readonly #clock: Clock;
  readonly #cells: Int32Array;
  /** The place of the breaker that all share who have none of their own. */
  readonly #rest: number;
  /** Undefined: one breaker, whatever the key. */
  readonly #slots: KeyedSlots | undefined;
  readonly #breakers = new Map<number, { readonly key: string; readonly breaker: ClusterBreaker }>();
  readonly #onChange: ((key: string, state: BreakerState["state"]) => void) | undefined;

  constructor(
    scope: string,
    policy: BreakerPolicy,
    definition: string,
    clock: Clock,
    cells: SharedCells,
    onChange?: (key: string, state: BreakerState["state"]) => void,
  ) {
    this.definition = definition;
    this.usedMs = clock.nowMs();
    this.#scope = scope;
    this.#policy = policy;
    this.#clock = clock;
    this.#onChange = onChange;
    const name = `breakers/${scope}/${definition}`;
    this.#rest = policy.per === undefined ? 0 : MAX_BREAKER_KEYS;
    const all = cells.cells(name, (this.#rest + 1) * BREAKER_CELLS);
    this.#cells = all;
    this.#slots =
      policy.per === undefined
        ? undefined
        : new KeyedSlots(
            cells.cells(`${name}/keys`, keyedSlotCells(MAX_BREAKER_KEYS)),
            (slot) => !isBreakerClosed(all, slot * BREAKER_CELLS),
          );
  }

  of(key: string): ClusterBreaker {
    this.usedMs = this.#clock.nowMs();
    const found = this.#slots?.slotOf(key, this.usedMs) ?? -1;
    const slot = found === -1 ? this.#rest : found;
    const owner = found === -1 ? "" : key;
    const known = this.#breakers.get(slot);
    if (known?.key === owner) return known.breaker;
    // Its cells are another key's now.
    known?.breaker.leave();
    const onChange = this.#onChange;
    const breaker = new ClusterBreaker(
      `${this.#scope} ${owner}`,
      this.#policy,
      this.#clock,
      this.#cells.subarray(slot * BREAKER_CELLS, (slot + 1) * BREAKER_CELLS),
      onChange && ((state) => onChange(owner, state)),
    );
    this.#breakers.set(slot, { key: owner, breaker });
    return breaker;
  }

  states(): readonly (readonly [key: string, state: BreakerState["state"]])[] {
    return [...this.#breakers.values()].map(({ key, breaker }) => [key, breaker.state]);
  }

  get isClosed(): boolean {
    return this.states().every(([, state]) => state === "closed");
  }

  /** Ends the timers and objects of this thread, until somebody asks again. */
  rest(): void {
    for (const { breaker } of this.#breakers.values()) breaker.leave();
    this.#breakers.clear();
  }

  shutDown(): void {
    for (const { breaker } of this.#breakers.values()) breaker.shutDown();
    this.#breakers.clear();
  }
}
