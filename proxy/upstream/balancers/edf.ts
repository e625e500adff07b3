// Earliest deadline first: weighted turns in O(log n), smooth, with weights that may change at any time.
import type { Random } from "#lib/random.ts";

/**
 * Item i is due again 1/weight after it was due. A binary heap of deadlines; `weightOf` is asked when an item is put back, as
 * Envoy's EdfScheduler does. The first deadlines are drawn at random so that proxies that start together do not pick alike.
 */
export class EdfScheduler {
  readonly #weightOf: (index: number) => number;
  readonly #heap: Uint32Array;
  readonly #due: Float64Array;

  constructor(count: number, random: Random, weightOf: (index: number) => number) {
    this.#weightOf = weightOf;
    this.#due = new Float64Array(count);
    for (let i = 0; i < count; i++) this.#due[i] = random.next() / weightOf(i);
    this.#heap = Uint32Array.from({ length: count }, (_, i) => i).sort(
      (left, right) => (this.#due[left] ?? 0) - (this.#due[right] ?? 0),
    );
  }

  /** The item that is due; it goes back with its weight of now. */
  next(): number {
    const index = this.#heap[0] ?? 0;
    this.#due[index] = (this.#due[index] ?? 0) + 1 / this.#weightOf(index);
    this.#sink();
    return index;
  }

  #sink(): void {
    const heap = this.#heap;
    const due = this.#due;
    const moving = heap[0] ?? 0;
    const key = due[moving] ?? 0;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (due[heap[child + 1] ?? 0] ?? 0) < (due[heap[child] ?? 0] ?? 0)) child++;
      if ((due[heap[child] ?? 0] ?? 0) >= key) break;
      heap[at] = heap[child] ?? 0;
      at = child;
    }
    heap[at] = moving;
  }
}
