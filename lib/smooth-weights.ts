// Turns by weight, as evenly spread as weights allow: smooth weighted round robin, as nginx introduced it.

/**
 * With each turn every item gains its weight, and the one that has most pays the sum of all. Among as many turns as that sum, wherever
 * they begin, each item has its weight in turns, give or take one. O(items) a turn.
 */
export class SmoothWeights {
  readonly #weights: readonly number[];
  readonly #total: number;
  readonly #credit: number[];

  /** Weights are whole and above 0. */
  constructor(weights: readonly number[]) {
    this.#weights = weights;
    this.#total = weights.reduce((sum, weight) => sum + weight, 0);
    this.#credit = weights.map(() => 0);
  }

  /** The index of the item whose turn it is. */
  next(): number {
    const credit = this.#credit;
    let best = 0;
    for (let i = 0; i < credit.length; i++) {
      credit[i] = (credit[i] ?? 0) + (this.#weights[i] ?? 0);
      if ((credit[i] ?? 0) > (credit[best] ?? 0)) best = i;
    }
    credit[best] = (credit[best] ?? 0) - this.#total;
    return best;
  }
}
