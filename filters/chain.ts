// A chain of filters as one flat array per hook: a hook that a filter does not have costs nothing.
import type { Filter } from "./filter.ts";

type With<K extends keyof Filter> = Filter & Required<Pick<Filter, K>>;

/** Request hooks run in the chain's order, response hooks in the reverse order, as in Envoy. */
export class FilterChain {
  readonly filters: readonly Filter[];
  /** An exchange's slots as they begin, one for each filter: an array that is written behind its end is made anew, far too long. */
  readonly slots: readonly unknown[];
  readonly onConnection: readonly With<"onConnection">[];
  readonly onRequestHead: readonly With<"onRequestHead">[];
  readonly onRouted: readonly With<"onRouted">[];
  readonly onPick: readonly With<"onPick">[];
  readonly onAttemptStart: readonly With<"onAttemptStart">[];
  readonly onAttemptEnd: readonly With<"onAttemptEnd">[];
  readonly onResponseHead: readonly With<"onResponseHead">[];
  readonly onRequestData: readonly With<"onRequestData">[];
  readonly onResponseData: readonly With<"onResponseData">[];
  readonly onRequestTrailers: readonly With<"onRequestTrailers">[];
  readonly onResponseTrailers: readonly With<"onResponseTrailers">[];
  readonly onDone: readonly With<"onDone">[];

  constructor(filters: readonly Filter[]) {
    const backwards = filters.toReversed();
    this.filters = filters;
    this.slots = Array.from({ length: filters.length }, () => undefined);
    this.onConnection = having(filters, "onConnection");
    this.onRequestHead = having(filters, "onRequestHead");
    this.onRouted = having(filters, "onRouted");
    this.onPick = having(filters, "onPick");
    this.onAttemptStart = having(filters, "onAttemptStart");
    this.onAttemptEnd = having(filters, "onAttemptEnd");
    this.onResponseHead = having(backwards, "onResponseHead");
    this.onRequestData = having(filters, "onRequestData");
    this.onResponseData = having(backwards, "onResponseData");
    this.onRequestTrailers = having(filters, "onRequestTrailers");
    this.onResponseTrailers = having(backwards, "onResponseTrailers");
    this.onDone = having(backwards, "onDone");
  }
}

function having<K extends keyof Filter>(filters: readonly Filter[], hook: K): readonly With<K>[] {
  return filters.filter((filter): filter is With<K> => filter[hook] !== undefined);
}
